"""The items whose answer the quantized model changed, worst first, as ``flips.csv``."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Literal

from runner.dataset.item import class_of
from runner.modes.result import Comparison
from runner.spreadsheet import harmless
from runner.wording import Said, say

FLIPS = "flips.csv"
Effect = Literal["lost", "gained", "changed"]
# A lost answer is what a loss is made of; a changed one has no label to say, or was wrong before and after.
_ORDER: dict[Effect, int] = {"lost": 0, "changed": 1, "gained": 2}
EFFECTS: dict[Effect, Said] = {"lost": say("lost"), "gained": say("gained"), "changed": say("changed")}


@dataclass(frozen=True, slots=True)
class Answer:
    """A class, and how much likelier it is than the next one, 0..1."""

    category: int
    margin: float


@dataclass(frozen=True, slots=True)
class Flip:
    """An item with another answer than before.

    Attributes:
        index: of the item in its dataset.
        name: what a user calls it.
        label: its class, if it has one.
    """

    index: int
    name: str
    label: int | None
    before: Answer
    after: Answer

    @property
    def effect(self) -> Effect:
        """``lost`` where the label was answered before, ``gained`` where it is now, ``changed`` otherwise."""
        if self.label is not None and self.before.category == self.label:
            return "lost"
        return "gained" if self.label is not None and self.after.category == self.label else "changed"


def flips(comparison: Comparison) -> list[Flip] | None:
    """Return the changed items, lost answers first, within an effect the surest ones first; None without classes."""
    before, after = comparison.float_.answers, comparison.quantized.answers
    if before is None or after is None:
        return None
    dataset = comparison.part.dataset
    found = []
    for index, old, new in zip(comparison.part.indices, before, after, strict=True):
        if old[0] != new[0]:
            answers = (Answer(int(old[0]), float(old[1])), Answer(int(new[0]), float(new[1])))
            found.append(Flip(index, dataset.name(index), class_of(dataset.label(index)), *answers))
    return sorted(found, key=lambda flip: (_ORDER[flip.effect], -flip.before.margin - flip.after.margin, flip.index))


def flips_csv(found: list[Flip]) -> str:
    """Return the table, one row a flip; margins with six digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ("item", "name", "label", "effect", "float_answer", "float_margin", "quantized_answer", "quantized_margin")
    )
    for flip in found:
        label = "" if flip.label is None else flip.label
        before, after = flip.before, flip.after
        row = (before.category, f"{before.margin:.6f}", after.category, f"{after.margin:.6f}")
        writer.writerow((flip.index, harmless(flip.name), label, flip.effect, *row))
    return stream.getvalue()
