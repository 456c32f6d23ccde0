"""Which inputs of other nodes are rounded beside those of layers, so that a runtime stays in integers from layer to layer.

onnxruntime makes an integer kernel of a convolution only where one QuantizeLinear alone reads its output, directly or behind
a Relu or Clip; a matrix product may end in float. So the output of a convolution is rounded for whoever reads it, and with it
whatever is joined with it (by an Add or Concat), wherever this leads on to kernels of integers or is averaged. What
leads to an output of the model, or to operators that compute in float (a Sigmoid, LayerNormalization), keeps its precision.

Readers of one tensor share its QuantizeLinear where their parameters are equal, as they are where one observer has seen them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import onnx_ir as ir

from runner.graph.layers import LayeredModel
from runner.graph.tensors import TensorInput, why_not_rounded
from runner.record import QuantizedLayers
from runner.targets.qdq.pads import absorbed

# What onnxruntime takes into a convolution's kernel.
_ACTIVATIONS = ("Relu", "Clip")
# Operators of several tensors with a kernel of integers, where all that they read is rounded and what they make is too. A
# product is none of them: x * sigmoid(x) takes three roundings, which cost YOLOX-Nano 3 dB of 9.
_JOINING = ("Add", "Concat")
# Of one tensor, with such a kernel, or an average that leaves little of a rounding.
_ENDING = ("GlobalAveragePool", "ReduceMean", "AveragePool", "LeakyRelu")
# What these make holds nothing but values, or means of neighbours, of the tensor that they read first.
_PASSING = (
    *("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity"),
    *("Slice", "Pad", "Resize", "Relu", "Clip"),
)


# Of these, those that onnxruntime moves a QuantizeLinear through.
_MOVED = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze")


def fused_inputs(model: LayeredModel) -> tuple[TensorInput, ...]:
    """Return the inputs of nodes that are no layers and have to be rounded, in graph order.

    Args:
        model: prepared and typed, its nodes in topological order, with the layers that can be int8.
    """
    types = {layer.name: layer.op_type for layer in model.layers}
    rounded: set[ir.Value] = set()
    for node in model.graph.graph:
        joins = (
            _is(node, _JOINING) and not rounded.isdisjoint(node.inputs) and not any(map(why_not_rounded, node.inputs))
        )
        if joins:
            rounded.update(value for value in node.inputs if value is not None)
        if joins or types.get(node.name or "") == "Conv":
            made = _behind(node)
            if _leads_on(made, types) and not _quantized_behind(made, types):
                rounded.add(made)
    # In front of a Pad that a convolution takes into its own stands the convolution's QuantizeLinear.
    return tuple(_inputs(model.graph.graph, rounded, {*types, *absorbed(model.graph, types)}))


def without_trapped(model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
    """Return a form without the tensors whose DequantizeLinear onnxruntime would move in front of a layer left float.

    It quantizes the weights of such a layer by a rule of its own, see ``kernels.rewritten_weights``.

    Args:
        model: the float model, with its layers, also those that are float in the form.
        form: what is quantized.
    """
    float_layers = {layer.name for layer in model.layers} - form.layers.keys()
    kept = {
        key: tensor
        for key, tensor in form.tensors.items()
        if not _meets(model.node(key.rpartition(":")[0]), float_layers)
    }
    return QuantizedLayers(form.layers, kept)


def _is(node: ir.Node, types: Container[str]) -> bool:
    return node.op_type in types and node.domain == ""


def _behind(node: ir.Node) -> ir.Value:
    """Return a node's output, or that of the activation which alone reads it."""
    value = node.outputs[0]
    readers = list(value.consumers())
    alone = len(readers) == 1 and not value.is_graph_output()
    return readers[0].outputs[0] if alone and _is(readers[0], _ACTIVATIONS) else value


def _leads_on(value: ir.Value, layers: Container[str]) -> bool:
    """Return whether all that reads a value, be it behind nodes that pass it on, is a kernel of integers or an average."""
    if value.is_graph_output() or not value.consumers():
        return False
    return all(
        node.name in layers
        or _is(node, _ENDING)
        or (_is(node, _JOINING) and not any(map(why_not_rounded, node.inputs)))
        or (_is(node, _PASSING) and _leads_on(node.outputs[0], layers))
        for node in value.consumers()
    )


def _quantized_behind(value: ir.Value, layers: Container[str]) -> bool:
    """Return whether one QuantizeLinear, of a layer, comes to stand behind a value because onnxruntime moves it there."""
    readers = list(value.consumers())
    if len(readers) == 1 and _is(readers[0], _MOVED):
        made = readers[0].outputs[0]
        return _quantized_behind(made, layers) or all(node.name in layers for node in made.consumers())
    return False


def _meets(node: ir.Node, layers: Container[str]) -> bool:
    """Return whether what a node passes on reaches one of some layers."""
    if not _is(node, _PASSING):
        return False
    return any(reader.name in layers or _meets(reader, layers) for reader in node.outputs[0].consumers())


def _inputs(graph: ir.Graph, rounded: set[ir.Value], left_out: Container[str]) -> Iterator[TensorInput]:
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value in rounded and node.name not in left_out:
                yield TensorInput(node.name or "", node.op_type, index, value.name or "")
