"""How far a quantized layer's output is from the float one, from three sums over their elements.

    ff = sum f*f      qq = sum q*q      dd = sum (f-q)*(f-q)

``dd`` is summed on its own: where f and q nearly agree, ff + qq - 2 sum f*q would cancel to noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over the elements of a float tensor f and its quantized counterpart q."""

    ff: float
    qq: float
    dd: float
    count: int


def cosine(sums: PairSums) -> float:
    """Return ``0.5 + 0.5 * cos(f, q)``: 1 is insensitive; 1 where f is all zero, 0 where only q is (AMCT's rule)."""
    if sums.ff == 0.0:
        return 1.0
    if sums.qq == 0.0:
        return 0.0
    norm_f, norm_q = math.sqrt(sums.ff), math.sqrt(sums.qq)
    # 1 - cos = (|f-q|^2 - (|f|-|q|)^2) / (2|f||q|): exact to rounding also where the cosine is nearly 1.
    one_minus_cos = (sums.dd - (norm_f - norm_q) ** 2) / (2.0 * norm_f * norm_q)
    return 1.0 - 0.5 * min(max(one_minus_cos, 0.0), 2.0)


def mse(sums: PairSums) -> float:
    """Return the mean squared error in the output's own unit squared: 0 is insensitive."""
    return sums.dd / max(sums.count, 1)


def sqnr_db(sums: PairSums) -> float:
    """Return ``10 log10(ff / dd)`` in dB: infinite is insensitive, 0 where f is all zero and q is not."""
    if sums.dd == 0.0:
        return math.inf
    if sums.ff == 0.0:
        return 0.0
    return 10.0 * math.log10(sums.ff / sums.dd)
