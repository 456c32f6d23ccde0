"""Float model + quantized form -> the deploy model for the Ascend ATC converter."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as passes

from runner.arithmetic import dequant_scale
from runner.convert.fake_quant import tensor_place
from runner.graph.added_bias import shift_biases
from runner.graph.builder import Builder
from runner.graph.constants import Names, constant, float_attribute, is_own, make_constant, string_attribute
from runner.graph.layers import Layer, LayeredModel
from runner.graph.operators import OPERATORS
from runner.graph.smoothing import divided
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers
from runner.targets.ascend import ascend_ops

# Before it the padding and its value are attributes of Pad.
_PAD_TAKES_INPUTS = 11


def deploy_model(model: LayeredModel, form: QuantizedLayers) -> ir.Model:
    """Return a copy of the float model with the layers of ``form`` in int8 between Ascend operators.

    The graph is not type-consistent for ONNX (a Conv on int8) and onnxruntime cannot run it; ATC expects it so.

    Args:
        model: prepared, at the source's opset, which is kept.
        form: what is quantized. The bias goes in without the offset correction, which ATC adds; that of a MatMul stays in
            the float Add behind it.
    """
    deployed = model.graph.clone()
    _write_kernel_shapes(deployed)
    graph = deployed.graph
    nodes = {node.name: node for node in graph}
    quants: dict[tuple[str, ActivationParams], ir.Value] = {}
    names = Names.of(graph)
    # Before anything stands between a layer and the Add behind it.
    shift_biases(graph, form.layers, names)
    # In graph order and before the tensors: a quantized layer's output is another value, under another name, and whatever
    # reads it alike shares one AscendQuant.
    for name, node in nodes.items():
        if name is not None and name in form.layers:
            _deploy_layer(graph, node, model.layer(name), form.layers[name], quants, names)
    for key, tensor in form.tensors.items():
        node, index = tensor_place(nodes, key)
        prefix = key.replace(":", ".")
        codes = _quantized(graph, node, index, tensor.activation, f"{prefix}.quant", quants, names)
        build = Builder()
        attributes = ascend_ops.anti_quant_attributes(tensor.activation)
        real = build.op(ascend_ops.ANTI_QUANT, [codes], f"{prefix}.anti_quant", ir.DataType.FLOAT, attributes)
        build.register(graph, names)
        graph.insert_before(node, build.nodes)
        node.replace_input_with(index, real)
    passes.RemoveUnusedNodesPass()(deployed)
    # ATC takes the default domain only, and exporters name domains that no node is of.
    passes.RemoveUnusedOpsetsPass()(deployed)
    passes.TopologicalSortPass()(deployed)
    return deployed


def _write_kernel_shapes(model: ir.Model) -> None:
    """Write out the attribute kernel_shape, which ATC demands of a ConvTranspose and ONNX lets one leave out.

    One whose weight has no known sizes stays as it is.
    """
    convolutions = [node for node in model.graph.all_nodes() if _lacks_kernel_shape(node)]
    kernels = [_kernel_shape(node) for node in convolutions]
    if None in kernels:
        inferred = model.clone()
        passes.ShapeInferencePass(check_type=False, strict_mode=False)(inferred)
        kernels = [_kernel_shape(node) for node in inferred.graph.all_nodes() if _lacks_kernel_shape(node)]
    for node, kernel in zip(convolutions, kernels, strict=True):
        if kernel is not None:
            node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", kernel)


def _lacks_kernel_shape(node: ir.Node) -> bool:
    operator = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    return operator is not None and operator.is_convolution and "kernel_shape" not in node.attributes


def _kernel_shape(node: ir.Node) -> list[int] | None:
    """Return the sizes of the weight's last axes; None where one is not known."""
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if weight is None:
        return None
    held = constant(weight)
    sizes = weight.shape if held is None else held.shape
    kernel = [] if sizes is None else [size for size in list(sizes)[2:] if isinstance(size, int)]
    return kernel if sizes is not None and 0 < len(kernel) == len(sizes) - 2 else None


def _quantized(
    graph: ir.Graph,
    node: ir.Node,
    index: int,
    params: ActivationParams,
    name: str,
    quants: dict[tuple[str, ActivationParams], ir.Value],
    names: Names,
) -> ir.Value:
    """Return the int8 codes of an input; nodes that read one tensor with equal parameters share one AscendQuant."""
    source = node.inputs[index]
    assert source is not None  # the place was read off the graph
    key = (source.name or "", params)
    if key not in quants:
        build = Builder()
        attributes = ascend_ops.quant_attributes(params)
        quants[key] = build.op(ascend_ops.QUANT, [source], name, ir.DataType.INT8, attributes)
        quants[key].shape = source.shape
        build.register(graph, names)
        graph.insert_before(node, build.nodes)
    return quants[key]


def _deploy_layer(
    graph: ir.Graph,
    node: ir.Node,
    layer: Layer,
    quantized: QuantizedLayer,
    quants: dict[tuple[str, ActivationParams], ir.Value],
    names: Names,
) -> None:
    record = quantized.record
    if record.balance_factors:
        _balance(graph, node, layer, record.balance_factors, names)
    pad = None if layer.operator.unweighted is None else _own_pad(graph, node, record.activation, names)
    reader = pad or node
    codes = _quantized(graph, reader, 0, record.activation, f"{layer.name}.quant", quants, names)
    reader.replace_input_with(0, codes)
    if layer.weight is not None:
        _store(graph, node, 1, quantized.weight, names)
    if quantized.bias is not None:
        _store(graph, node, 2, quantized.bias, names)
    output = node.outputs[0]
    build = Builder()
    deq = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
    parameter = build.constant(f"{layer.name}.dequant.param", ascend_ops.dequant_parameter(deq))
    real = ir.Value(name=f"{layer.name}.dequant.output0", type=output.type, shape=output.shape)
    is_graph_output = output.is_graph_output()
    output.replace_all_uses_with(real, replace_graph_outputs=True)
    if is_graph_output:
        real.name, output.name = output.name, names.new_value(f"{layer.name}_output0")
    else:
        real.name = names.new_value(real.name or "")
    output.type = ir.TensorType(ir.DataType.INT32)
    attributes = {"dtype": ascend_ops.FLOAT32_OUTPUT}
    name = names.new_node(f"{layer.name}.dequant")
    dequant = ir.node(ascend_ops.DEQUANT, [output, parameter], attributes, name=name, outputs=[real])
    build.register(graph, names)
    graph.insert_after(node, dequant)


def _balance(graph: ir.Graph, node: ir.Node, layer: Layer, factors: tuple[float, ...], names: Names) -> None:
    """Put the Mul of a balanced layer before it; what it gives is a tensor that no other AscendQuant reads."""
    source = node.inputs[0]
    assert source is not None  # the place was read off the graph
    build = Builder()
    value = divided(build, source, factors, layer, layer.name)
    build.register(graph, names)
    graph.insert_before(node, build.nodes)
    node.replace_input_with(0, value)


def _own_pad(graph: ir.Graph, node: ir.Node, params: ActivationParams, names: Names) -> ir.Node | None:
    """Return the Pad with zeros that belongs to a pool, made to pad codes; None where there is none.

    AMCT quantizes before a Pad called ``<pool>_pad`` that the pool alone reads. Zero has the zero point as its code.
    """
    source = node.inputs[0]
    pad = None if source is None else source.producer()
    if source is None or pad is None or pad.op_type != "Pad" or pad.domain != "":
        return None
    if pad.name != f"{node.name}_pad" or len(source.uses()) != 1 or source.is_graph_output():
        return None
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    filled = constant(value) if value is not None else np.asarray(float_attribute(pad, "value", 0.0))
    if string_attribute(pad, "mode", "constant") != "constant" or filled is None or np.any(filled):
        return None
    source.type = ir.TensorType(ir.DataType.INT8)
    if graph.opset_imports.get("", 0) < _PAD_TAKES_INPUTS:
        pad.attributes["value"] = ir.AttrFloat32("value", float(params.zero_point))
        return pad
    pad.resize_inputs(max(3, len(pad.inputs)))
    build = Builder()
    pad.replace_input_with(2, build.constant(f"{pad.name}.value.int", np.asarray(params.zero_point, np.int8)))
    build.register(graph, names)
    return pad


def _store(
    graph: ir.Graph, node: ir.Node, index: int, array: NDArray[np.int8] | NDArray[np.int32], names: Names
) -> None:
    """Put integers in the place of a layer's weight or bias, under the same name where it is the layer's own."""
    value = node.inputs[index] if index < len(node.inputs) else None
    name = f"{node.name}.{'weight' if index == 1 else 'bias'}" if value is None or value.name is None else value.name
    tensor = _stored(name, array)
    if value is not None and is_own(value):
        value.const_value, value.type = tensor, ir.TensorType(tensor.dtype)
        value.shape = ir.Shape(array.shape)
        return
    integers = make_constant(names.new_value(f"{node.name}.{'weight' if index == 1 else 'bias'}.int"), array)
    integers.const_value = _stored(integers.name or "", array)
    graph.register_initializer(integers)
    node.resize_inputs(max(len(node.inputs), index + 1))
    node.replace_input_with(index, integers)


def _stored(name: str, array: NDArray[np.int8] | NDArray[np.int32]) -> ir.TensorProtocol:
    """AMCT stores weights as raw_data and biases as int32_data; a reader of its files may look there only."""
    if array.dtype != np.int32:
        return ir.tensor(array, name=name)
    proto = onnx.helper.make_tensor(name, onnx.TensorProto.INT32, array.shape, array.ravel().tolist())
    return ir.serde.TensorProtoTensor(proto)
