"""What changed under the measure of the task: how many items, and the worst and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

from runner.evaluation.changes import worth_showing
from runner.figure import Block, Column, Exhibits, Marked, Paragraph, Part, Row, Section, Table
from runner.report.changed_items import ChangedItem, word_columns
from runner.report.flips import FLIPS
from runner.report.shown.draw import GAINED, MOST, Gallery


def changed_results(found: Sequence[ChangedItem] | None, shown: Gallery | None, items: int) -> Section:
    """Return the section; empty where the deciding metric does not tell of changes.

    Args:
        found: the items that changed, worst first.
        shown: what is drawn of them.
        items: how many were compared.
    """
    if found is None:
        return Section(name="changed_results")
    lost, gained = (sum(item.effect == effect for item in found) for effect in ("lost", "gained"))
    parts: list[Part] = [f"{len(found)} of {items} items: ", Marked(f"{lost} got worse", "lost"), ", "]
    parts += [
        Marked(f"{gained} better", "gained"),
        f", {len(found) - lost - gained} neither. Ordered by what each costs.",
    ]
    blocks: list[Block] = [Paragraph(parts)]
    told = worth_showing(found, most=MOST, gained=GAINED)
    if shown is not None:
        blocks += [Paragraph(shown.legend)] if shown.legend else []
        blocks.append(Exhibits([drawn.exhibit() for drawn in shown.drawn]))
    elif found:
        blocks.append(_table(told))
    count = len(told) if shown is None else len(shown.drawn)
    if len(found) > count:
        blocks.append(Paragraph((f"The worst, and the best of those that got better; {FLIPS} has all.",), soft=True))
    return Section(name="changed_results", heading="What changed", blocks=blocks)


def _table(items: Sequence[ChangedItem]) -> Table:
    columns = word_columns(items)
    texts = any(item.truth is not None for item in items)
    titles = [*(["truth"] if texts else []), *(f"{whose} {each}" for whose in ("float", "int8") for each in columns)]
    rows = [
        Row(
            (
                item.name,
                Marked(item.effect, item.effect),
                f"{item.cost:.4g}",
                *([item.truth or ""] if texts else []),
                *(words.get(column, "") for words in (item.before, item.after) for column in columns),
            )
        )
        for item in items
    ]
    return Table(
        (Column("item", "name"), Column("effect"), Column("cost", "number"), *(Column(title) for title in titles)), rows
    )
