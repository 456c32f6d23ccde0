"""Labels that number classes which the model does not have."""

from __future__ import annotations

from collections.abc import Sequence

from runner.dataset.subset import Subset
from runner.errors import DatasetError


def beyond(labels: Sequence[int | None], classes: int, items: Subset) -> DatasetError | None:
    """Return what is wrong with labels; None where each is one of the model's classes.

    Args:
        labels: of the first items, None for one without.
        classes: that the model gives scores of.
        items: to name one with the highest label.
    """
    known = [label for label in labels if label is not None]
    high = sum(label >= classes for label in known)
    if not high:
        return None
    why = (
        "No item has class 0: do the labels count from 1? Then subtract 1 from each."
        if min(known) > 0 and max(known) == classes
        else "Classes are numbered from 0, in the order of the model's scores; are the labels those of this model?"
    )
    highest = items.dataset.name(items.indices[labels.index(max(known))])
    have = "has" if high == 1 else "have"
    return DatasetError(
        f"dataset.labels: {high} of {len(known)} items {have} a class beyond the model's {classes} scores: expected 0 to "
        f"{classes - 1}, got {min(known)} to {max(known)}, such as {highest} with {max(known)}. {why}"
    )
