"""What changed under the measure of the task: how many items, and the worst and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

from runner.evaluation.changes import worth_showing
from runner.figure import Block, Column, Exhibits, Marked, Paragraph, Part, Row, Section, Table
from runner.report.changed_items import ChangedItem, word_columns
from runner.report.flips import EFFECTS, FLIPS
from runner.report.shown.draw import GAINED, MOST, Gallery
from runner.wording import recalled, say


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
    parts: list[Part] = [
        say("{count} of {total} items: ", count=len(found), total=items),
        Marked(say("{count} got worse", count=lost), "lost"),
        say(", "),
    ]
    parts += [
        Marked(say("{count} better", count=gained), "gained"),
        say(", {count} neither. Ordered by what each costs.", count=len(found) - lost - gained),
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
        blocks.append(
            Paragraph(
                (say("The worst, and the best of those that got better; {file} has all.", file=FLIPS),), soft=True
            )
        )
    return Section(name="changed_results", heading=say("What changed"), place="changes", blocks=blocks)


def _table(items: Sequence[ChangedItem]) -> Table:
    columns = word_columns(items)
    texts = any(item.truth is not None for item in items)
    titles = [
        *([say("truth")] if texts else []),
        *(say("float {what}", what=recalled(each)) for each in columns),
        *(say("int8 {what}", what=recalled(each)) for each in columns),
    ]
    rows = [
        Row(
            (
                item.name,
                Marked(EFFECTS[item.effect], item.effect),
                f"{item.cost:.4g}",
                *([item.truth or ""] if texts else []),
                *(words.get(column, "") for words in (item.before, item.after) for column in columns),
            )
        )
        for item in items
    ]
    return Table(
        (
            Column(say("item"), "name"),
            Column(say("effect")),
            Column(say("cost"), "number"),
            *(Column(title) for title in titles),
        ),
        rows,
    )
