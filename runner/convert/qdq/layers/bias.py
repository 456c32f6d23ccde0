"""A source's bias -> int32 in units of the layer's own dequantizing scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import INT32_MAX, INT32_MIN, quantize_bias
from runner.convert.qdq.annotated_graph import BiasSource
from runner.convert.qdq.layers.weight import StaysFloatError
from runner.convert.qdq.report import BiasOutcome

# Exporters compute scale_d * scale_w in double precision or round it otherwise; the integers are meant for it all the same.
_SAME_SCALE = 1e-5


def integer_bias(
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
    taken = not rounded_again and source.stored is not None and _same(source.stored.scales, deq)
    codes = source.stored.integers if taken and source.stored is not None else quantize_bias(source.real, deq)
    outside = (codes < INT32_MIN) | (codes > INT32_MAX)
    if np.any(outside):
        channel = int(np.flatnonzero(outside)[0])
        raise StaysFloatError(
            f"its bias does not fit int32: channel {channel} has {source.real[channel]:.6g}, "
            f"in steps of scale_d * scale_w = {np.broadcast_to(deq, outside.shape)[channel]:.6g}"
        )
    error = np.max(np.abs(codes * np.asarray(deq, np.float64) - source.real), initial=0.0)
    return codes.astype(np.int32), BiasOutcome("taken" if taken else "rounded", float(error))


def _same(scales: NDArray[Any], deq: NDArray[np.float32]) -> bool:
    stored, own = np.asarray(scales, np.float64), np.asarray(deq, np.float64)
    return bool(np.all(np.abs(stored - own) <= _SAME_SCALE * own))
