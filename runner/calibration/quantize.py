"""From ranges to the quantized form: scales, integer weights and integer biases of every layer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import INT32_MAX, accumulator_bound, dequant_scale, quantize_bias, quantize_weight
from runner.calibration.collect import Calibration
from runner.calibration.ties import params_off_ties
from runner.calibration.weights import arq_scales
from runner.convert.exact_sums import exact_sums
from runner.graph.constants import constant
from runner.graph.finite_weights import has_infinities
from runner.graph.layers import Layer, LayeredModel, LeftAlone
from runner.graph.smoothing import Factors, smoothed_rows
from runner.ranges import ActivationParams, Range
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.wording import say

# The version of this stage's meaning: raise it when the same ranges would give other integers.
VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """The all-int8 form, and the layers that cannot be expressed in int8."""

    form: QuantizedLayers
    impossible: tuple[LeftAlone, ...]


def quantize_layers(
    model: LayeredModel,
    calibration: Calibration,
    *,
    symmetric: Collection[str] = (),
    one_scale: Collection[str] = (),
    unfused: Collection[str] = (),
    smoothing: Factors | None = None,
) -> Quantization:
    """Return the quantized form of every layer; one whose scale or sums would be illegal stays float, with the reason.

    Args:
        model: the float model with the layers to quantize.
        calibration: what was seen of them.
        symmetric: names of the layers whose range lies evenly around zero.
        one_scale: layers whose channels share one weight scale.
        unfused: layers that nothing was folded into because the user wants it so.
        smoothing: factors of the layers whose smoothed input was seen.
    """
    factors = smoothing or {}

    def quantized(layer: Layer, node: ir.Node) -> QuantizedLayer:
        range_, sample = _seen(calibration, layer.name)
        params = params_off_ties(range_, sample, symmetric=layer.symmetric or layer.name in symmetric)
        record = arq_record(node, layer, params, one_scale=layer.name in one_scale, factors=factors.get(layer.name, ()))
        return quantize_recorded(node, layer, replace(record, skip_fusion=layer.name in unfused))

    return quantize_each(model, quantized)


def quantize_tensors(
    quantization: Quantization, model: LayeredModel, calibration: Calibration, *, symmetric: Collection[str]
) -> Quantization:
    """Return the quantized form with the inputs of other nodes as well; one whose scale would be illegal stays float.

    Args:
        quantization: of the layers.
        model: has the inputs.
        calibration: what was seen of them.
        symmetric: keys of those whose range lies evenly around zero.
    """
    records: dict[str, TensorRecord] = {}
    impossible = list(quantization.impossible)
    for tensor in model.tensors:
        try:
            range_, sample = _seen(calibration, tensor.key)
            records[tensor.key] = TensorRecord(params_off_ties(range_, sample, symmetric=tensor.key in symmetric))
        except ValueError as error:
            impossible.append(LeftAlone(tensor.key, tensor.op_type, str(error)))
    return Quantization(QuantizedLayers(quantization.form.layers, records), tuple(impossible))


def _seen(calibration: Calibration, key: str) -> tuple[Range, NDArray[np.float32]]:
    """Return the range and the sample of what is rounded.

    Raises:
        ValueError: no item gave it a value.
    """
    if key not in calibration.ranges:
        raise ValueError(say("no calibration item gives its input any value, so nothing is known of its range"))
    return calibration.ranges[key], calibration.samples[key]


def quantize_each(model: LayeredModel, quantize: Callable[[Layer, ir.Node], QuantizedLayer]) -> Quantization:
    """Return the form of the layers that ``quantize`` can say in int8; a ValueError of it is a layer's reason to stay float."""
    form: dict[str, QuantizedLayer] = {}
    impossible: list[LeftAlone] = []
    for layer in model.layers:
        try:
            form[layer.name] = quantize(layer, model.node(layer.name))
        except ValueError as error:
            impossible.append(LeftAlone(layer.name, layer.op_type, str(error)))
    return Quantization(QuantizedLayers(form), tuple(impossible))


def arq_record(
    node: ir.Node,
    layer: Layer,
    params: ActivationParams,
    *,
    one_scale: bool = False,
    factors: tuple[float, ...] = (),
) -> LayerRecord:
    """Return a layer's scales, those of its weight by ARQ; one without a weight has ones, at scale 1.

    With ``one_scale`` a layer of one scale a channel gets the same one for all: the record keeps the shape of the type.
    With ``factors`` the weight is that of the balanced input.
    """
    if layer.weight is None:
        return LayerRecord(params, (1.0,))
    scales = arq_scales(
        smoothed_rows(node, layer, factors),
        0,
        per_channel=layer.per_channel and not one_scale,
        largest_code=layer.largest_code,
    )
    if layer.per_channel:
        scales = np.broadcast_to(scales, (layer.channels,))
    return LayerRecord(params, tuple(float(s) for s in scales), balance_factors=factors)


def quantize_recorded(node: ir.Node, layer: Layer, record: LayerRecord) -> QuantizedLayer:
    """Return one layer's quantized form under given scales.

    Raises:
        ValueError: the bias exceeds int32, or the integer sums cannot be computed exactly.
    """
    scales = np.asarray(record.weight_scales, np.float32)
    unweighted = layer.operator.unweighted
    quantized = QuantizedLayer(
        record,
        _codes(node, layer, record) if unweighted is None else unweighted.ones(node),
        integer_bias(node, layer, dequant_scale(record.activation.scale, scales)),
    )
    check_sums(layer, quantized)
    return quantized


def _codes(node: ir.Node, layer: Layer, record: LayerRecord) -> NDArray[np.int8]:
    stored = constant(node.inputs[1])
    assert stored is not None  # the layer has a weight
    rows = smoothed_rows(node, layer, record.balance_factors)
    codes = quantize_weight(rows, np.asarray(record.weight_scales, np.float32), 0, layer.largest_code)
    return layer.layout.stored(codes, stored.shape)


def integer_bias(node: ir.Node, layer: Layer, deq: NDArray[np.float32]) -> NDArray[np.int32] | None:
    """Return a layer's bias in units of ``deq``, int32 of shape (channels,); None without a bias.

    Raises:
        ValueError: a value exceeds int32, or is infinite.
    """
    bias = None if layer.bias is None else constant(node.inputs[2])
    if bias is None:
        return None
    if has_infinities(bias):
        count = int(np.isinf(np.asarray(bias, np.float64)).sum())
        raise ValueError(say("its bias has {count} infinite value(s), which no int32 bias can say", count=count))
    real = np.broadcast_to(np.asarray(bias, np.float32).reshape(-1), (layer.channels,))
    return int32_bias(quantize_bias(real, np.broadcast_to(deq, (layer.channels,))))


def int32_bias(bias: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the bias as int32.

    Raises:
        ValueError: a value exceeds int32.
    """
    largest = int(np.abs(bias).max(initial=0))
    if largest > INT32_MAX:
        raise ValueError(
            say(
                "its bias becomes {largest} in units of scale_d * scale_w, which exceeds int32 ({INT32_MAX})",
                largest=largest,
                INT32_MAX=INT32_MAX,
            )
        )
    return bias.astype(np.int32)


def check_sums(layer: Layer, quantized: QuantizedLayer) -> None:
    """Raise a ValueError when the layer's integer sums could exceed int32 or cannot be simulated exactly."""
    zero_point = quantized.record.activation.zero_point
    rows = layer.layout.rows(quantized.weight)
    largest = int(accumulator_bound(rows, quantized.bias, zero_point, 0).max(initial=0))
    if largest > INT32_MAX:
        raise ValueError(
            say(
                "its integer sums can reach {largest}, which exceeds int32 ({INT32_MAX})",
                largest=largest,
                INT32_MAX=INT32_MAX,
            )
        )
    exact_sums(layer, quantized)
