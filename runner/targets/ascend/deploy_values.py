"""The tensors of a deploy file that are worth looking at, in graph order: where a dump has each, and its float twin.

A layer in int8 has what AscendQuant reads and gives, its whole sums, and what AscendDequant gives; a layer left float has its
input and output. What the float model has in the same place is found by the node that makes it: both graphs hold the same
nodes, except where the deploy file has Ascend operators. A node that is another one at a later opset has another name there;
what it makes has the same. Outputs that are no tensors of numbers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dumps.index import Kind, Place
from runner.graph.layers import LayeredModel
from runner.graph.output_kind import other_outputs
from runner.record import QuantizedLayers
from runner.verify.deploy_file import ANTI_QUANT, DEQUANT, QUANT, IntegerLayer, IntegerModel
from runner.verify.execute import Executable

# What the chip calls an input of the model.
_DATA = "Data"


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the deploy file.

    Attributes:
        node: that makes it; the tensor's own name where it is an input of the model.
        index: of the node's output.
        executed: its name in the executable graph.
        twin: its name in the float model; None where that has no such tensor.
        places: where a dump has it.
    """

    node: str
    index: int
    executed: str
    twin: str | None
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One tensor as a part of a layer.

    Attributes:
        layer: name of the layer, of the rounded tensor's place (``node:input``), or of a model's input or output.
        op_type: of the layer; empty for a model's input or output.
        int8: whether it is in int8.
        kind: what the tensor is of it.
        value: the tensor.
        scale: of integers.
        zero_point: of codes.
        balance: what the real values are multiplied by before they become codes, shaped to broadcast; None for 1.
    """

    layer: str
    op_type: str
    int8: bool
    kind: Kind
    value: Value
    scale: tuple[float, ...] = ()
    zero_point: int | None = None
    balance: NDArray[np.float32] | None = None


def deploy_rows(deploy: IntegerModel, graph: Executable, float_model: LayeredModel, form: QuantizedLayers) -> list[Row]:
    """Return the tensors to look at, in graph order; several layers may share one.

    Args:
        deploy: the file.
        graph: that executes it.
        float_model: the model that the file is the quantized form of, under the same node names.
        form: what the file holds.
    """
    return list(_Rows(deploy, graph, float_model, form).all())


class _Rows:
    def __init__(
        self, deploy: IntegerModel, graph: Executable, float_model: LayeredModel, form: QuantizedLayers
    ) -> None:
        self._deploy, self._graph, self._form = deploy, graph, form
        self._layers = {layer.name: layer for layer in deploy.layers}
        self._dequants = {layer.dequant: layer for layer in deploy.layers}
        self._found = {layer.name: layer.op_type for layer in float_model.layers}
        self._tensors = {f"{key.replace(':', '.')}.anti_quant": key for key in form.tensors}
        self._nodes = {node.name or "": node for node in deploy.standard.graph}
        self._executed = {value.name or "" for node in graph.model.graph for value in node.outputs}
        source = float_model.graph.graph
        self._float = {node.name or "": node for node in source}
        self._float_values = {value.name for node in source for value in node.outputs}
        self._given = {value.name for value in (*source.inputs, *source.initializers.values())}

    def all(self) -> Iterator[Row]:
        graph = self._deploy.standard.graph
        for source in graph.inputs:
            yield Row(source.name or "", "", False, "model_input", self._value(source))
        for name, node in self._nodes.items():
            if name in self._layers:
                yield from self._integer_layer(self._layers[name], node)
            elif name in self._deploy.anti_quants:
                yield from self._tensor(name, node)
            elif name in self._found:
                if node.inputs[0] is not None:
                    yield Row(name, node.op_type, False, "input", self._value(node.inputs[0]))
                yield Row(name, node.op_type, False, "output", self._value(node.outputs[0]))
        others = other_outputs(self._deploy.standard)
        for result in (value for value in graph.outputs if value.name not in others):
            yield Row(result.name or "", "", False, "model_output", self._value(result))

    def _integer_layer(self, layer: IntegerLayer, node: ir.Node) -> Iterator[Row]:
        read, codes = self._quant(layer.quant)
        params = self._form.layers[layer.name].record.activation
        balance = None
        if layer.balance is not None:
            multiplied = read.producer()
            assert multiplied is not None and multiplied.inputs[0] is not None  # read off the file
            axes = 0 if layer.is_matrix else layer.weight.ndim - 2
            balance = layer.balance.reshape(-1, *[1] * axes)
            yield Row(layer.name, layer.op_type, True, "input", self._value(multiplied.inputs[0]))
        yield Row(layer.name, layer.op_type, True, "input" if balance is None else "balanced", self._value(read))
        scale = (float(np.float32(params.scale)),)
        coded = self._value(codes)
        yield Row(layer.name, layer.op_type, True, "codes", coded, scale, params.zero_point, balance)
        scales = tuple(float(value) for value in layer.scales)
        yield Row(layer.name, layer.op_type, True, "sums", self._value(node.outputs[0]), scales)
        output = self._nodes[layer.dequant].outputs[0]
        yield Row(layer.name, layer.op_type, True, "output", self._value(output))

    def _tensor(self, name: str, node: ir.Node) -> Iterator[Row]:
        key = self._tensors[name]
        op_type = self._nodes[key.rpartition(":")[0]].op_type
        read, codes = self._quant(self._deploy.anti_quants[name].quant)
        params = self._form.tensors[key].activation
        yield Row(key, op_type, True, "input", self._value(read))
        scale = (float(np.float32(params.scale)),)
        yield Row(key, op_type, True, "codes", self._value(codes), scale, params.zero_point)
        yield Row(key, op_type, True, "output", self._value(node.outputs[0]))

    def _quant(self, name: str) -> tuple[ir.Value, ir.Value]:
        node = self._nodes[name]
        assert node.inputs[0] is not None  # read off the file
        return node.inputs[0], node.outputs[0]

    def _value(self, value: ir.Value) -> Value:
        node = value.producer()
        places = [Place(usage.node.name or "", "input", usage.idx) for usage in value.uses()]
        if node is None:
            name = value.name or ""
            # Last: with AIPP the chip's Data holds raw pixels.
            places.append(Place(name, "output", 0))
            return Value(name, 0, name, self._twin(value), tuple(places))
        index = value.index() or 0
        places.insert(0, Place(node.name or "", "output", index))
        return Value(node.name or "", index, self._executed_name(node, value), self._twin(value), tuple(places))

    def _executed_name(self, node: ir.Node, value: ir.Value) -> str:
        name = node.name or ""
        if name in self._deploy.quants:
            return self._graph.codes[name]
        if name in self._dequants:
            return self._graph.outputs[self._dequants[name].name]
        for held in (self._graph.outputs if name in self._deploy.anti_quants else {}, self._graph.sums):
            if name in held:
                return held[name]
        assert value.name in self._executed  # what is no Ascend operator's is called as in the file
        return value.name

    def _twin(self, value: ir.Value) -> str | None:
        node = value.producer()
        if node is None:
            return value.name if value.name in self._given else None
        name = node.name or ""
        if name in self._dequants:
            return self._float_output(self._dequants[name].name, 0)
        if name in self._deploy.quants or name in self._deploy.anti_quants:
            read = self._before(name)
            return None if read is None else self._twin(read)
        if name in self._layers:
            return None
        # A node that is another one at the opset that runs, as an Upsample is a Resize, still makes the value of that name.
        same = value.name if value.name in self._float_values else None
        return self._float_output(name, value.index() or 0, node.op_type) or same

    def _before(self, name: str) -> ir.Value | None:
        """Return the real value that the codes of an AscendQuant, or the output of an AscendAntiQuant, stand for."""
        anti_quant = self._deploy.anti_quants.get(name)
        read = self._quant(name if anti_quant is None else anti_quant.quant)[0]
        node = read.producer()
        balanced = any(layer.quant == name and layer.balance is not None for layer in self._deploy.layers)
        return node.inputs[0] if balanced and node is not None else read

    def _float_output(self, name: str, index: int, op_type: str | None = None) -> str | None:
        node = self._float.get(name)
        if node is None or (op_type is not None and node.op_type != op_type) or index >= len(node.outputs):
            return None
        return node.outputs[index].name


def nodes_of(deploy: IntegerModel) -> tuple[tuple[str, str], ...]:
    """Return every node of a deploy file with its type, in graph order, behind the model's inputs, the chip's Data."""
    ascend = {
        **dict.fromkeys(deploy.quants, QUANT),
        **dict.fromkeys(deploy.anti_quants, ANTI_QUANT),
        **dict.fromkeys((layer.dequant for layer in deploy.layers), DEQUANT),
    }
    nodes = {value.name or "": _DATA for value in deploy.standard.graph.inputs}
    nodes |= {node.name or "": ascend.get(node.name or "", node.op_type) for node in deploy.standard.graph}
    return tuple(nodes.items())
