"""What a model loses at its outputs for an item, in one number, whatever the headline metric is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.distance import Sqnr


def measured_by(scores: Mapping[str, NDArray[np.float64]]) -> str | None:
    """Return the name of the metric whose scores ``item_losses`` takes; None where there is none."""
    return next((name for name in ("kl", "sqnr") if name in scores), None)


def item_losses(scores: Mapping[str, NDArray[np.float64]]) -> tuple[str, NDArray[np.float64]]:
    """Return the measure and each item's loss, shape (items,), from the scores of the usual metrics."""
    if "kl" in scores:
        return "kl", scores["kl"][:, 0]
    signal, noise = (scores["sqnr"][:, place :: Sqnr.numbers] for place in (0, Sqnr.error_column))
    ratios = np.divide(noise, signal, out=(noise > 0).astype(np.float64), where=signal > 0)
    return "noise", np.asarray(ratios.max(axis=1))
