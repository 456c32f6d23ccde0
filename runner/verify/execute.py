"""A deploy file as a graph that onnxruntime can run: its integers as written, in standard operators.

    AscendQuant       Mul(scale) -> Add(offset) -> QuantizeLinear(scale 1, zero point 0), int8
    layer             see ``sums``
    AscendDequant     Mul(scale), or DequantizeLinear(scale) of int32 sums; an AveragePool divides by its count before
    AscendAntiQuant   Cast(int32) -> Sub(offset) -> Cast(float) -> Mul(scale)

With ``integer_kernels`` the rounding is Round -> Clip -> Cast, the layers take onnxruntime's uint8 operators and sums are
multiplied, so that one way of computing the same numbers can be held against the other.

Everything else stays as it is in the file, at opset 13 or later like the fake-quant model, by the same converter; with the
precision ``fp16`` it computes on float16 values, see ``half``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as passes

from runner.graph.builder import Builder
from runner.graph.constants import Names, constant, replace_node
from runner.verify.deploy_file import IntegerLayer, IntegerModel, Rounding
from runner.verify.half import compute_in_half, rounded_to_half
from runner.verify.padding import counted
from runner.verify.sums import layer_sums, over_channels

# How a dequantized value is made: with float32 scales; with their 19 leading bits, as many chips keep; the same and every
# value float16, those of float operators and their weights too.
Precision = Literal["fp32", "s19", "fp16"]

_FLOAT, _INT8, _INT32 = ir.DataType.FLOAT, ir.DataType.INT8, ir.DataType.INT32
_QMIN, _QMAX = -128.0, 127.0
# Sign, 8 bits of exponent and 10 of mantissa.
_S19 = np.uint32(0xFFFFE000)


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A deploy file in standard operators.

    Attributes:
        model: runs in onnxruntime; inputs and outputs are the file's.
        outputs: layer or AscendAntiQuant -> name of its float output, in graph order.
        unrounded: AscendQuant -> name of what is rounded, before clipping.
        layers: those of ``outputs`` that are layers -> what the output is called outside of the deploy file.
        readers: those of ``outputs`` that are AscendAntiQuant -> node and index of an input that reads it.
        codes: AscendQuant -> name of its int8 codes.
        sums: layer -> name of its sums, whole numbers as int32 or, where no rounding is possible, as float32; in the shape of
            its output but for an AveragePool, whose planes stand one behind the other.
    """

    model: ir.Model
    outputs: Mapping[str, str]
    unrounded: Mapping[str, str]
    layers: Mapping[str, str]
    readers: Mapping[str, tuple[str, int]]
    codes: Mapping[str, str]
    sums: Mapping[str, str]


def executable(deploy: IntegerModel, *, integer_kernels: bool = False, precision: Precision = "fp32") -> Executable:
    """Return the graph that executes a deploy file.

    Args:
        deploy: the file.
        integer_kernels: use onnxruntime's uint8 operators throughout; slow, for a sample.
        precision: of the dequantizing scales and of the values.

    Raises:
        ModelError: the converter cannot raise an operator's opset.
    """
    model = deploy.raised.clone()
    graph = model.graph
    nodes = {node.name or "": node for node in graph}
    layers = {layer.dequant: layer for layer in deploy.layers}
    if precision == "fp16":
        integers = {layer.name for layer in deploy.layers}
        compute_in_half(model, {*integers, *layers, *deploy.quants, *deploy.anti_quants, *deploy.code_pads})
    outputs, unrounded, codes, sums = {}, {}, {}, {}
    names = Names.of(graph)
    for name, node in nodes.items():
        build = Builder()
        source = node.inputs[0] if node.inputs else None
        if name in deploy.quants and source is not None:
            shifted, result = _rounded(build, name, deploy.quants[name], source, slow=integer_kernels)
        elif name in layers and source is not None:
            layer = layers[name]
            whole, result = _layer_output(
                build, layer, nodes[layer.name], integer_kernels=integer_kernels, precision=precision
            )
        elif node.op_type == "Pad" and name in deploy.code_pads:
            _pad_codes(graph, node)
            continue
        elif name in deploy.anti_quants and source is not None:
            result = _restored(build, name, deploy.anti_quants[name].rounding, source, precision)
        else:
            continue
        build.register(graph, names, instead=node)
        replace_node(graph, node, build.nodes, result)
        if name in deploy.quants:
            unrounded[name], codes[name] = shifted.name or "", result.name or ""
            continue
        outputs[layers[name].name if name in layers else name] = result.name or ""
        if name in layers:
            sums[layers[name].name] = whole.name or ""
    passes.RemoveUnusedNodesPass()(model)
    values = {layer.name: layer.value for layer in deploy.layers}
    readers = {name: anti_quant.readers[0] for name, anti_quant in deploy.anti_quants.items() if anti_quant.readers}
    return Executable(model, outputs, unrounded, values, readers, codes, sums)


def _rounded(build: Builder, name: str, rounding: Rounding, x: ir.Value, *, slow: bool) -> tuple[ir.Value, ir.Value]:
    """Return ``x * scale + offset`` and the int8 code made of it."""

    def number(key: str, value: float | np.int8) -> ir.Value:
        return build.constant(f"{name}.{key}", np.asarray(value, None if isinstance(value, np.int8) else np.float32))

    scaled = build.op("Mul", [x, number("scale", rounding.scale)], f"{name}.scaled", _FLOAT)
    shifted = build.op("Add", [scaled, number("offset", rounding.offset)], f"{name}.shifted", _FLOAT)
    if not slow:
        steps = [shifted, number("one", 1), number("zero", np.int8(0))]
        return shifted, build.op("QuantizeLinear", steps, f"{name}.codes", _INT8)
    whole = build.op("Round", [shifted], f"{name}.whole", _FLOAT)
    clipped = build.op("Clip", [whole, number("min", _QMIN), number("max", _QMAX)], f"{name}.clipped", _FLOAT)
    return shifted, build.cast(clipped, _INT8, f"{name}.codes")


def _layer_output(
    build: Builder, layer: IntegerLayer, node: ir.Node, *, integer_kernels: bool, precision: Precision
) -> tuple[ir.Value, ir.Value]:
    """Return the layer's whole sums and its output."""
    codes = node.inputs[0]
    assert codes is not None  # read off the file
    value = layer_sums(build, layer, node, codes, integer_kernels=integer_kernels)
    whole = unrounded_sums(value)
    scales = _of_precision(layer.scales, precision)
    channels = layer.weight.shape[0]
    if value.dtype == _INT32 and channels > 1 and not (integer_kernels or layer.is_matrix or _averages(layer)):
        # A cast and a product in one node; one channel would count as a scalar scale, see ``convert.simulate``.
        scale = build.constant(f"{layer.dequant}.scale", np.broadcast_to(scales, (channels,)))
        real = build.op("DequantizeLinear", [value, scale], layer.dequant, _FLOAT, {"axis": 1})
        return whole, rounded_to_half(build, real, layer.dequant) if precision == "fp16" else real
    if value.dtype == _INT32:
        value = build.cast(value, _FLOAT, f"{layer.name}.sum.float")
    if _averages(layer):
        count = counted(build, codes, node, layer.weight.shape[2:], f"{layer.name}.count")
        value = build.op("Div", [value, count], f"{layer.name}.mean", _FLOAT)
    return whole, _scaled(build, value, over_channels(layer, scales), layer.dequant, precision)


def _averages(layer: IntegerLayer) -> bool:
    return layer.op_type == "AveragePool"


def unrounded_sums(value: ir.Value) -> ir.Value:
    """Return what ``layer_sums`` gave, but of an AveragePool the planes one behind the other."""
    producer = value.producer()
    shaped = producer is not None and producer.op_type == "Reshape"
    source = producer.inputs[0] if producer is not None and shaped else None
    return value if source is None else source


def _pad_codes(graph: ir.Graph, node: ir.Node) -> None:
    """Let a Pad between AscendQuant and its pooling fill with a code: the standard operators hold it as a float."""
    fill = node.inputs[2] if len(node.inputs) > 2 else None
    build = Builder()
    code = np.int8(0) if fill is None else np.asarray(constant(fill)).astype(np.int8)
    node.resize_inputs(max(3, len(node.inputs)))
    node.replace_input_with(2, build.constant(f"{node.name}.code", np.asarray(code).reshape(())))
    node.outputs[0].type = ir.TensorType(_INT8)
    build.register(graph)


def _restored(build: Builder, name: str, rounding: Rounding, codes: ir.Value, precision: Precision) -> ir.Value:
    """Return ``(q - offset) * scale``."""
    whole = build.cast(codes, _INT32, f"{name}.codes")
    offset = build.constant(f"{name}.offset", np.asarray(rounding.offset, np.int32))
    centred = build.op("Sub", [whole, offset], f"{name}.centred", _INT32)
    value = build.cast(centred, _FLOAT, f"{name}.float")
    scale = _of_precision(np.asarray(rounding.scale, np.float32), precision)
    return _scaled(build, value, scale, name, precision)


def _of_precision(scales: NDArray[np.float32], precision: Precision) -> NDArray[np.float32]:
    """Return scales as a chip keeps them."""
    if precision == "fp32":
        return scales
    return (np.ascontiguousarray(scales).view(np.uint32) & _S19).view(np.float32).reshape(scales.shape)


def _scaled(build: Builder, value: ir.Value, scales: NDArray[np.generic], name: str, precision: Precision) -> ir.Value:
    scaled = build.op("Mul", [value, build.constant(f"{name}.scale", scales)], name, _FLOAT)
    return rounded_to_half(build, scaled, name) if precision == "fp16" else scaled
