"""The arithmetic of one quantized layer as the deploy graph writes it, on numpy arrays.

Per layer, all scales float32:

    r   = fl32(1 / scale_d)                                      AscendQuant.scale
    q   = clip(round_half_even(fl32(fl32(x * r) + offset_d)), -128, 127)
    acc = sum((q - offset_d) * q_w) + q_b                        exact integer
    deq = fl32(scale_d * scale_w)                                AscendDequant parameter
    y   = fl32(acc * deq)

Every model that the runner searches with or writes means these integers; the models' tests compare against this file. What a
chip makes of the graph, with fusions and precisions of its own, is not said here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QMIN, QMAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
FLT_EPSILON = float(np.finfo(np.float32).eps)
# A float32 holds every integer up to 2**24, so a float sum of integers below it is exact in any order.
EXACT_FLOAT32_SUM = 2**24


def reciprocal(scale_d: float) -> np.float32:
    """Return ``fl32(1 / scale_d)``, the factor that AscendQuant multiplies with."""
    return np.float32(1.0) / np.float32(scale_d)


def quantize(x: NDArray[np.float32], scale_d: float, offset_d: int) -> NDArray[np.int8]:
    """Return the int8 codes of ``x`` (any shape): multiply, add, round half to even, saturate."""
    scaled = x * reciprocal(scale_d) + np.float32(offset_d)
    codes: NDArray[np.int8] = np.clip(np.rint(scaled), QMIN, QMAX).astype(np.int8)
    return codes


def dequantize(q: NDArray[np.int8], scale_d: float, offset_d: int) -> NDArray[np.float32]:
    """Return ``fl32((q - offset_d) * scale_d)``, what AscendAntiQuant makes of codes (any shape)."""
    return (q.astype(np.float32) - np.float32(offset_d)) * np.float32(scale_d)


def rounded(
    x: NDArray[np.float32], scale_d: float, offset_d: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the values of ``dequantize(quantize(x))``, with no codes in between.

    Args:
        x: any shape.
        scale_d: of the tensor.
        offset_d: of the tensor.
        out: where to; a new array if None.
    """
    offset = np.float32(offset_d)
    y: NDArray[np.float32] = np.multiply(x, reciprocal(scale_d), out=out)
    y += offset
    np.rint(y, out=y)
    np.clip(y, QMIN, QMAX, out=y)
    y -= offset
    y *= np.float32(scale_d)
    return y


def dequant_scale(scale_d: float, scale_w: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``fl32(scale_d * scale_w)``, shape as ``scale_w``: () or (channels,)."""
    return (np.float32(scale_d) * np.asarray(scale_w, np.float32)).astype(np.float32)


def quantize_weight(
    weight: NDArray[np.float32], scale_w: NDArray[np.float32], axis: int, largest_code: int = QMAX
) -> NDArray[np.int8]:
    """Return ``clip(round(weight / scale_w))`` as int8, in the weight's own layout.

    Args:
        weight: any shape.
        scale_w: shape (1,) for one scale, or (weight.shape[axis],).
        axis: the output-channel axis of ``weight``.
        largest_code: codes are clipped at it, and at its negative less 1.
    """
    codes = np.rint(weight / along_axis(scale_w, weight.ndim, axis))
    return np.asarray(np.clip(codes, -largest_code - 1, largest_code).astype(np.int8))


def quantize_bias(bias: NDArray[np.floating], deq: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return ``rint(float64(bias) / float64(deq))``, shape (channels,), as int64 so that an overflow is visible."""
    real = np.asarray(bias, np.float64) / np.asarray(deq, np.float64)
    return np.rint(np.clip(real, -(2.0**62), 2.0**62)).astype(np.int64)


def accumulator_bound(
    weight: NDArray[np.int8], bias: NDArray[np.int64] | NDArray[np.int32] | None, offset_d: int, axis: int
) -> NDArray[np.int64]:
    """Return, per output channel, a bound on the magnitude of every partial sum of the layer, shape (channels,).

    ``sum|q_w| * max(127 - offset_d, 128 + offset_d) + |q_b|``: the widest input code times every weight, plus the bias.
    """
    reduced = tuple(i for i in range(weight.ndim) if i != axis)
    magnitude = np.abs(weight.astype(np.int64)).sum(axis=reduced)
    bound: NDArray[np.int64] = magnitude * max(QMAX - offset_d, offset_d - QMIN)
    return bound if bias is None else bound + np.abs(bias.astype(np.int64))


def along_axis(values: NDArray[np.float32], ndim: int, axis: int) -> NDArray[np.float32]:
    """Return ``values`` of shape (1,) or (n,) reshaped so that it broadcasts along ``axis`` of an array with ``ndim`` axes."""
    shape = [1] * ndim
    shape[axis] = -1
    return np.asarray(values, np.float32).reshape(shape)
