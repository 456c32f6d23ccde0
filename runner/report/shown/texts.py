"""Lines of text that are read otherwise than before, with the characters that differ from the truth."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from runner.dataset.item import Dataset
from runner.evaluation.metric import Metric
from runner.figure import Marked, Part
from runner.report.changed_items import ChangedItem
from runner.report.shown.drawn import Drawn, Shown
from runner.report.shown.photo import as_seen
from runner.tasks.text.alignment import aligned
from runner.wording import say

# The column in which a metric tells the text that was read.
TEXT = "text"
_LOOK = {"same": "read"}
_SPACE = "\u2423"


def texts_drawn(items: Sequence[ChangedItem], dataset: Dataset, metric: Metric) -> list[Drawn]:
    """Return items with their texts: what is true, and what each model reads.

    Args:
        items: with a text as their truth, and their results told in the column ``text``.
        dataset: theirs.
        metric: says with ``ignore_case`` whether capitals and small letters are the same.
    """
    ignore_case = bool(getattr(metric, "ignore_case", False))
    found = []
    for item in items:
        truth = unicodedata.normalize("NFC", item.truth or "")
        lines: list[list[Part]] = [[Marked(say("truth"), "key"), Marked(truth, "read")]]
        for whose, words in ((say("float"), item.before), (say("int8"), item.after)):
            lines.append([Marked(whose, "key"), *marked(truth, words.get(TEXT, ""), ignore_case=ignore_case)])
        seen = as_seen(dataset, item.index)
        found.append(Drawn(item, () if seen is None else [Shown(seen, "")], lines))
    return found


def texts_legend() -> tuple[Part, ...]:
    """Return what the marks mean."""
    return (
        Marked(say("wrong"), "wrong"),
        say(", "),
        Marked(say("extra"), "extra"),
        say(" and "),
        Marked(say("missing"), "missing"),
        say(" characters."),
    )


def marked(truth: str, read: str, *, ignore_case: bool = False) -> Iterator[Marked]:
    """Yield a text that was read in runs of characters that are alike: right, wrong, extra, or missing in it."""

    def same(one: str, other: str) -> bool:
        return one == other or (ignore_case and one.casefold() == other.casefold())

    for edit, run in groupby(aligned(truth, read, same=same), key=lambda each: each.edit):
        text = "".join(each.character for each in run)
        # A space that is marked would look like something else, or like nothing.
        yield Marked(text if edit == "same" else text.replace(" ", _SPACE), _LOOK.get(edit, edit))
