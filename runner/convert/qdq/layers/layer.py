"""One layer of a source -> its record entry and integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import EXACT_FLOAT32_SUM, INT32_MAX, INT32_MIN, QMAX, QMIN, dequant_scale, quantize_bias
from runner.convert.exact_sums import exact_sums
from runner.convert.qdq.annotated_graph import BiasSource, FoldedBatchNorm, LayerSource, Pair, QuantizedConstant
from runner.convert.qdq.layers.vanishing import SMALLEST_NORMAL, rescue_vanishing
from runner.convert.qdq.layers.weight import StaysFloatError, symmetric_weight
from runner.convert.qdq.report import ActivationSource, BatchNormOutcome, BiasOutcome, LayerConversion
from runner.graph.batchnorm import Affine
from runner.graph.layers import Layer
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer
from runner.wording import say

# Exporters compute scale_d * scale_w in double precision or round it otherwise; the integers are meant for it all the same.
_SAME_SCALE = 1e-5

_VOLUME = 3  # axes


def convert_layer(
    layer: Layer, source: LayerSource, *, refuse_asymmetric: bool
) -> tuple[QuantizedLayer | None, LayerConversion]:
    """Return a layer's quantized form, or None where it stays float, and the account of it."""
    activation = None
    if source.pair is not None and source.pair.params is not None:
        activation = ActivationSource(source.pair.dtype, source.pair.scale, source.pair.zero_point)
    quantized: QuantizedLayer | None = None
    try:
        quantized, conversion = _convert(layer, source, activation, refuse_asymmetric)
    except StaysFloatError as reason:
        conversion = LayerConversion(layer.name, layer.op_type, "float", activation, reason=str(reason))
    return quantized, replace(conversion, looked_through=source.looked_through)


def _convert(
    layer: Layer, source: LayerSource, activation: ActivationSource | None, refuse_asymmetric: bool
) -> tuple[QuantizedLayer, LayerConversion]:
    if source.window is not None:
        return _average(layer, _input(source.pair, say("its input does not go")), source.window, activation)
    params, stored = _both_sides(source)
    if layer.symmetric and params.zero_point != 0:
        taker = say("every layer of this target")
        if layer.spatial == _VOLUME:
            taker = say("a convolution over three axes")
        raise StaysFloatError(
            say(
                "its input has zero point {zero_point} in int8; {taker} takes only 0",
                zero_point=params.zero_point,
                taker=taker,
            )
        )
    weight = symmetric_weight(stored, layer, refuse_asymmetric=refuse_asymmetric)
    rows, scales, bias, folded = weight.rows, weight.scales, source.bias, None
    if source.batchnorm is not None:
        rows, scales, folded = _fold_into_integers(rows, scales, source.batchnorm)
        bias = _fold_into_bias(bias, source.batchnorm.affine)
    rows, scales, lost = rescue_vanishing(rows, scales, None if bias is None else bias.real, params.scale)
    if bias is not None:
        scales = _widen_silent(rows, scales, bias.real, params.scale)
    deq = dequant_scale(params.scale, scales)
    if not np.all(np.isfinite(deq)):
        raise StaysFloatError(
            say(
                "scale_d * scale_w does not fit float32: {least:.6g} .. {most:.6g}",
                least=float(deq.min()),
                most=float(deq.max()),
            )
        )
    integers, outcome = None, BiasOutcome("none", 0.0)
    said = weight.outcome.with_lost(lost.tolist(), scales.tolist())
    requantized = said.channels_exact < said.channels
    if bias is not None:
        integers, outcome = _integer_bias(bias, deq, rounded_again=requantized or folded is not None)
    record = LayerRecord(params, tuple(float(scale) for scale in scales))
    codes = layer.layout.stored(rows, stored.integers.shape)
    quantized = _summed_exactly(layer, QuantizedLayer(record, codes, integers))
    exact = not requantized and (folded is None or folded.saturated == 0)
    conversion = LayerConversion(
        layer.name, layer.op_type, "exact" if exact else "requantized", activation, said, outcome, folded
    )
    return quantized, conversion


def _average(
    layer: Layer, params: ActivationParams, window: NDArray[np.int8], activation: ActivationSource | None
) -> tuple[QuantizedLayer, LayerConversion]:
    """Return an AveragePool over the codes of its input: ones as weights, at scale 1, which is always exact."""
    quantized = _summed_exactly(layer, QuantizedLayer(LayerRecord(params, (1.0,)), window, None))
    return quantized, LayerConversion(layer.name, layer.op_type, "exact", activation, bias=BiasOutcome("none", 0.0))


def _summed_exactly(layer: Layer, quantized: QuantizedLayer) -> QuantizedLayer:
    """Return the layer as it is if its integer sums can be computed exactly."""
    try:
        exact_sums(layer, quantized)
    except ValueError as error:
        raise StaysFloatError(str(error)) from error
    return quantized


def _input(pair: Pair | None, lacking: str) -> ActivationParams:
    if pair is None:
        raise StaysFloatError(say("{lacking} through QuantizeLinear and DequantizeLinear", lacking=lacking))
    if pair.params is None:
        raise StaysFloatError(say("the quantization of its input is not accepted: {refusal}", refusal=pair.refusal))
    return pair.params


def _both_sides(source: LayerSource) -> tuple[ActivationParams, QuantizedConstant]:
    """Return the input's parameters and the weight's integers, or say which of them the source lacks."""
    if source.weight is None:
        _input(source.pair, "neither its input nor its weight goes")
        raise StaysFloatError(say("its weight does not go through DequantizeLinear"))
    return _input(source.pair, say("its input does not go")), source.weight


def _fold_into_integers(
    rows: NDArray[np.int8], scales: NDArray[np.float32], batchnorm: FoldedBatchNorm
) -> tuple[NDArray[np.int8], NDArray[np.float32], BatchNormOutcome]:
    """Return a convolution's integers, channels first, times ``sign(k)`` and its scales, one a channel, times ``|k|``.

    A factor that is 0, or makes the scale vanish in float32, gives integers of 0 under the old scale.
    """
    factor = batchnorm.affine.factor
    old = np.broadcast_to(scales, factor.shape)
    with np.errstate(over="ignore", under="ignore"):
        scaled = (old.astype(np.float64) * np.abs(factor)).astype(np.float32)
    gone = scaled < SMALLEST_NORMAL
    sign = np.where(gone, 0, np.sign(factor)).astype(np.int64).reshape(-1, *[1] * (rows.ndim - 1))
    turned = rows.astype(np.int64) * sign
    outcome = BatchNormOutcome(batchnorm.name, int(np.sum(sign < 0)), int(np.sum(gone)), int(np.sum(turned > QMAX)))
    return np.clip(turned, QMIN, QMAX).astype(np.int8), np.where(gone, old, scaled).astype(np.float32), outcome


def _fold_into_bias(bias: BiasSource | None, affine: Affine) -> BiasSource:
    old = np.zeros(affine.factor.shape) if bias is None else bias.real
    return BiasSource(old * affine.factor + affine.shift, None)


def _widen_silent(
    rows: NDArray[np.int8], scales: NDArray[np.float32], bias: NDArray[np.float64], scale_d: float
) -> NDArray[np.float32]:
    """Return scales under which the biases of channels whose weights are all 0 fit the exact integers of a float32.

    Training drives channels to 0 and their scales to the smallest allowed. Such a scale says nothing about the weights,
    but the bias, counted in its units, would not fit and the whole layer would stay float.
    """
    silent = ~np.any(rows, axis=tuple(range(1, rows.ndim)))
    needed = np.abs(bias) / (np.float64(scale_d) * (EXACT_FLOAT32_SUM // 4))
    short = silent & (np.broadcast_to(scales, silent.shape) * 2 < needed)
    if not np.any(short) or scales.size < silent.size:
        return scales
    return np.where(short, needed, scales).astype(np.float32)


def _integer_bias(
    source: BiasSource, deq: NDArray[np.float32], *, rounded_again: bool
) -> tuple[NDArray[np.int32], BiasOutcome]:
    """Return the bias as int32 of shape (channels,), and how it came about.

    Args:
        source: of a bias that is not yet in int32, or is.
        deq: scale_d * scale_w, shape (1,) or (channels,).
        rounded_again: the layer's weights are no longer the source's, so neither are the units of its integers.

    Raises:
        StaysFloatError: a value does not fit int32.
    """
    taken = not rounded_again and source.stored is not None and _same_units(source.stored.scales, deq)
    codes = source.stored.integers if taken and source.stored is not None else quantize_bias(source.real, deq)
    outside = (codes < INT32_MIN) | (codes > INT32_MAX)
    if np.any(outside):
        channel = int(np.flatnonzero(outside)[0])
        raise StaysFloatError(
            say(
                "its bias does not fit int32: channel {channel} has {real:.6g}, in steps of scale_d * scale_w = "
                "{deq:.6g}",
                channel=channel,
                real=source.real[channel],
                deq=np.broadcast_to(deq, outside.shape)[channel],
            )
        )
    error = np.max(np.abs(codes * np.asarray(deq, np.float64) - source.real), initial=0.0)
    return codes.astype(np.int32), BiasOutcome("taken" if taken else "rounded", float(error))


def _same_units(scales: NDArray[Any], deq: NDArray[np.float32]) -> bool:
    stored, own = np.asarray(scales, np.float64), np.asarray(deq, np.float64)
    return bool(np.all(np.abs(stored - own) <= _SAME_SCALE * own))
