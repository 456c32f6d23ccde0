"""Channels too small for the deploy graph's arithmetic, which would leave their whole layer float.

Training drives channels to 0, and quantizers then write what is left of them: a scale of 1e-38 and a code or two. ``scale_d *
scale_w`` is no normal float32 there, or a bias of ordinary size, counted in its units, does not fit int32. Such a channel is
rounded again: to the smallest units that there are, or to zeros where its weights vanish beside its bias. What that changes is
told, and is below what a float32 output of the layer shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import INT32_MAX, QMAX, QMIN, dequant_scale

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_HALF_ULP = 2.0**-24
_WIDEST_INPUT = QMAX - QMIN  # of a code without its zero point


def rescue_vanishing(
    rows: NDArray[np.int8], scales: NDArray[np.float32], bias: NDArray[np.float64] | None, scale_d: float
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    """Return codes, scales, and how far each channel's weights were moved, in real units; most often not at all.

    Args:
        rows: the codes, output channels first.
        scales: shape (1,) or (channels,).
        bias: real values, shape (channels,).
        scale_d: of the input.
    """
    flat = rows.reshape(rows.shape[0], -1).astype(np.int64)
    lost = np.zeros(flat.shape[0])
    deq = np.broadcast_to(dequant_scale(scale_d, scales), lost.shape).astype(np.float64)
    vanishing = deq < SMALLEST_NORMAL
    if np.any(vanishing):
        least = _least_scale(scale_d)
        new_scales = np.where(np.broadcast_to(vanishing, scales.shape) if scales.size > 1 else True, least, scales)
        chosen = vanishing if scales.size > 1 else np.ones(lost.shape, np.bool_)
        real = flat * np.broadcast_to(scales, lost.shape).astype(np.float64)[:, None]
        codes = np.where(chosen[:, None], np.clip(np.rint(real / float(least)), QMIN, QMAX), flat)
        moved = np.where(chosen[:, None], np.abs(codes * float(least) - real), 0.0)
        flat, scales, lost = codes.astype(np.int64), new_scales.astype(np.float32), np.max(moved, axis=1, initial=0.0)
        deq = np.broadcast_to(dequant_scale(scale_d, scales), lost.shape).astype(np.float64)
    if bias is not None and scales.size > 1:
        # Beside such a bias the products are rounded away, whatever the input.
        reach = np.sum(np.abs(flat), axis=1) * _WIDEST_INPUT * deq
        dead = (np.abs(bias) > INT32_MAX * deq) & (reach <= np.abs(bias) * _HALF_ULP)
        lost = lost + np.where(dead, np.max(np.abs(flat), axis=1, initial=0) * scales.astype(np.float64), 0.0)
        flat = np.where(dead[:, None], 0, flat)
    return flat.astype(np.int8).reshape(rows.shape), scales, lost


def _least_scale(scale_d: float) -> np.float32:
    """Return the smallest weight scale whose product with ``scale_d`` is a normal float32."""
    scale = np.float32(max(SMALLEST_NORMAL / float(scale_d), SMALLEST_NORMAL))
    while dequant_scale(scale_d, np.asarray([scale], np.float32))[0] < SMALLEST_NORMAL:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale
