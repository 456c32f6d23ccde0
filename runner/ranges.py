"""From a range of real values to a scale and a zero point.

The formulas are AMCT's: a symmetric range is divided by 128 where its extreme is negative and by 127 where it is positive
(so that the extreme itself gets a code), an asymmetric one by 255 after it has been widened to hold zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON, QMAX, QMIN
from runner.wording import say

NUM_STEPS = QMAX - QMIN  # 255 steps between 256 codes


@dataclass(frozen=True, slots=True)
class Range:
    """What an observer found: the values from ``low`` to ``high`` shall be told apart."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ActivationParams:
    """Scale and zero point of one int8 activation tensor; ``real = (code - zero_point) * scale``."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore", over="ignore"):
            legal = np.isfinite(self.scale) and self.scale > 0 and np.isfinite(np.float32(1) / np.float32(self.scale))
        if not legal or self.scale > 1 / FLT_EPSILON:
            raise ValueError(
                say(
                    "activation scale must be positive, at most 1/FLT_EPSILON and have a reciprocal; got {scale}",
                    scale=self.scale,
                )
            )
        if not QMIN <= self.zero_point <= QMAX:
            raise ValueError(
                say(
                    "activation zero point must lie in {QMIN}..{QMAX}, got {zero_point}",
                    QMIN=QMIN,
                    QMAX=QMAX,
                    zero_point=self.zero_point,
                )
            )


def activation_params(range_: Range, *, symmetric: bool = False) -> ActivationParams:
    """Return the parameters that spread the 256 codes over ``range_``.

    Raises:
        ValueError: the range is not finite or gives a scale without a finite reciprocal.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        low, high = np.float32(min(range_.low, 0.0)), np.float32(max(range_.high, 0.0))
        width = high - low
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(say("activation range must be finite, got {low} .. {high}", low=range_.low, high=range_.high))
    if symmetric:
        return ActivationParams(float(symmetric_scale(low, high)), 0)
    scale = np.float32(width / np.float32(NUM_STEPS))
    if scale < FLT_EPSILON:
        return ActivationParams(1.0, QMIN)
    return ActivationParams(float(scale), int(-np.rint(low / scale)) + QMIN)


def symmetric_scale(
    low: NDArray[np.float32] | np.float32, high: NDArray[np.float32] | np.float32, largest_code: int = QMAX
) -> NDArray[np.float32]:
    """Return scales for ranges around zero, shape as ``low`` and ``high``: () or (channels,).

    A range whose magnitude is negligible (scale below FLT_EPSILON) gets scale 1.

    Args:
        low: lower ends.
        high: upper ends.
        largest_code: that the upper ends become at most; the lower ones at least its negative less 1.
    """
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    divisor = np.where(-low > high, np.float32(largest_code + 1), np.float32(largest_code))
    scale = (np.maximum(-low, high) / divisor).astype(np.float32)
    return np.where(scale < FLT_EPSILON, np.float32(1), scale).astype(np.float32)


def within(ranges: Mapping[str, Range], limits: Mapping[str, Range]) -> dict[str, Range]:
    """Return ranges cut at limits, those that have any under the same key."""
    return {
        key: Range(max(range_.low, limits[key].low), min(range_.high, limits[key].high)) if key in limits else range_
        for key, range_ in ranges.items()
    }
