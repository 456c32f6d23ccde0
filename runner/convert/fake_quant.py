"""Float model + quantized form -> the fake-quant model: the deploy graph's integers in operators of any onnxruntime."""

from __future__ import annotations

from typing import Protocol

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.needless_clips import leave_out_clips
from runner.convert.simulate import Simulator
from runner.graph.added_bias import shift_biases
from runner.graph.builder import Builder
from runner.graph.constants import Names, replace_node
from runner.graph.layers import Layer, LayeredModel
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers

# The version of this stage's meaning: raise it when the same form would give other bits.
VERSION = 1


def fake_quant_model(model: LayeredModel, form: QuantizedLayers, *, multiply: bool = False) -> ir.Model:
    """Return a copy of the float model in which the layers and tensors of ``form`` are simulated.

    Args:
        model: prepared, at opset 13 or later.
        form: what is quantized; every layer that is not in it stays float.
        multiply: the faster equal form for the runner's own sessions (see Simulator).
    """
    simulator = Simulator(multiply)
    simulated = with_layers(model, form, simulator)
    if multiply:
        leave_out_clips(simulated.graph, simulator)
    return simulated


class LayerBuilder(Protocol):
    """Builds the nodes that stand for a quantized layer, and for a tensor that is rounded on its way into a node."""

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``x`` rounded to int8 and back."""
        ...

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        """Return the float output of ``node`` with its input ``x`` and its weights in int8."""
        ...


def with_layers(model: LayeredModel, form: QuantizedLayers, builder: LayerBuilder) -> ir.Model:
    """Return a copy of the float model in which ``builder`` has replaced the layers and tensors of ``form``."""
    replaced = model.graph.clone()
    graph = replaced.graph
    nodes = {node.name: node for node in graph}
    names = Names.of(graph)
    # Before anything stands between a layer and the Add behind it.
    shift_biases(graph, form.layers, names)
    # Then tensors: a node's inputs are looked up by name, and layers give their outputs new values under the old names.
    for key, tensor in form.tensors.items():
        node, index = tensor_place(nodes, key)
        build = Builder()
        source = node.inputs[index]
        assert source is not None  # the place was read off the graph
        rounded = builder.tensor(build, source, tensor.activation, key.replace(":", "."))
        build.register(graph, names)
        graph.insert_before(node, build.nodes)
        node.replace_input_with(index, rounded)
    for name, quantized in form.layers.items():
        node = nodes[name]
        build = Builder()
        source = node.inputs[0]
        assert source is not None  # a layer reads an activation
        output = builder.layer(build, node, model.layer(name), quantized, name, source)
        build.register(graph, names, instead=node)
        replace_node(graph, node, build.nodes, output)
    passes.RemoveUnusedNodesPass()(replaced)
    passes.TopologicalSortPass()(replaced)
    return replaced


def tensor_place(nodes: dict[str | None, ir.Node], key: str) -> tuple[ir.Node, int]:
    """Return the node and input index of a tensor entry's key ``<node>:<input>``."""
    name, _, index = key.rpartition(":")
    return nodes[name], int(index)
