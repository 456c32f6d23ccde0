"""The items whose result changed under the measure of their task, worst first, as ``flips.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.evaluation.changes import Change
from runner.evaluation.metric import TellsChanges
from runner.modes.result import Comparison
from runner.report.flips import Effect
from runner.spreadsheet import harmless


@dataclass(frozen=True, slots=True, eq=False)
class ChangedItem:
    """An item with another result than before.

    Attributes:
        change: what became of it.
        index: of the item in its dataset.
        name: what a user calls it.
        truth: its text, where that is its truth.
        before: what the float model's row says, as columns.
        after: what the quantized model's says.
    """

    change: Change
    index: int
    name: str
    truth: str | None
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def cost(self) -> float:
        """What the change costs."""
        return self.change.cost

    @property
    def effect(self) -> Effect:
        """``lost`` where the item got worse, ``gained`` where it got better, ``changed`` where neither."""
        return "changed" if self.cost == 0 else "lost" if self.cost > 0 else "gained"


def changed_items(comparison: Comparison) -> list[ChangedItem] | None:
    """Return the items that changed, worst first; None where the deciding metric does not tell of changes."""
    metric, found = comparison.deciding, comparison.changes
    if found is None or not isinstance(metric, TellsChanges):
        return None
    dataset, indices = comparison.part.dataset, comparison.part.indices
    # By one item: a truth may be a picture to be decoded.
    texts = len(found) > 0 and isinstance(dataset.label(indices[found[0].position]), str)
    items = []
    for change in found:
        index = indices[change.position]
        truth = dataset.label(index) if texts else None
        words = metric.words(change.before), metric.words(change.after)
        items.append(ChangedItem(change, index, dataset.name(index), truth, *words))
    return items


def changed_items_csv(items: Sequence[ChangedItem]) -> str:
    """Return the table, one row an item: what is true where that is a text, what both models' results say in words."""
    columns = word_columns(items)
    texts = any(item.truth is not None for item in items)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    said = [f"{which}_{column}" for which in ("float", "quantized") for column in columns]
    writer.writerow(map(harmless, ("item", "name", "cost", "effect", *(["truth"] if texts else []), *said)))
    for item in items:
        truth = [harmless(item.truth or "")] if texts else []
        words = [harmless(words.get(column, "")) for words in (item.before, item.after) for column in columns]
        writer.writerow((item.index, harmless(item.name), f"{item.cost:.6g}", item.effect, *truth, *words))
    return stream.getvalue()


def word_columns(items: Sequence[ChangedItem]) -> list[str]:
    """Return the columns that results are told in, in their order."""
    return list(dict.fromkeys(column for item in items for words in (item.before, item.after) for column in words))
