"""How much each layer suffers from int8 on its own, and the ranking that follows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from runner.calibration.layer_by_layer import LayerSums, pair_sums
from runner.search.plan import Ranking
from runner.similarity import PairSums, cosine, mse, sqnr_db

# The version of this stage's meaning: raise it when the same sums would give another ranking.
VERSION = 2

# A layer that int8 does not change at all has no finite SQNR; files hold plain numbers.
_IDENTICAL_DB = 300.0


class Sensitivity(Protocol):
    """A measure of the difference between a layer's float output and its quantized twin's, one item at a time."""

    @property
    def ascending(self) -> bool:
        """Whether a smaller value is more sensitive."""
        ...

    def value(self, sums: PairSums) -> float:
        """Return the measure of one layer on one item."""
        ...


@dataclass(frozen=True, slots=True)
class Cosine:
    """``0.5 + 0.5 cos``; 1 is insensitive. AMCT's measure."""

    ascending = True

    def value(self, sums: PairSums) -> float:
        """Return the similarity, 0 to 1."""
        return cosine(sums)


@dataclass(frozen=True, slots=True)
class MeanSquaredError:
    """Mean squared error in the output's own unit squared; 0 is insensitive."""

    ascending = False

    def value(self, sums: PairSums) -> float:
        """Return the error."""
        return mse(sums)


@dataclass(frozen=True, slots=True)
class SignalToNoise:
    """Signal to quantization noise ratio in dB; large is insensitive."""

    ascending = True

    def value(self, sums: PairSums) -> float:
        """Return the ratio, at most 300 dB."""
        return min(sqnr_db(sums), _IDENTICAL_DB)


def rank(items: Iterable[LayerSums], sensitivity: Sensitivity) -> Ranking:
    """Return the layers, most sensitive first, by the mean over items; ties in graph order.

    An item for which a layer's output has no values says nothing of it; a layer of which none says anything suffers nothing.

    Args:
        items: sums of each item, all over the same layers in graph order; looked at one after the other.
        sensitivity: the measure.
    """
    measured: dict[str, list[float]] = {}
    for sums in items:
        for name, layer in sums.items():
            pair, own = pair_sums(layer), measured.setdefault(name, [])
            if pair.count:
                own.append(sensitivity.value(pair))
    unchanged = sensitivity.value(PairSums(0.0, 0.0, 0.0, 1))
    values = {name: math.fsum(own) / len(own) if own else unchanged for name, own in measured.items()}
    sign = 1.0 if sensitivity.ascending else -1.0
    # sorted() is stable, and dictionaries keep graph order.
    return Ranking(tuple(sorted(values.items(), key=lambda entry: sign * entry[1])))
