"""Photos in which a detector found other boxes than before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Dataset
from runner.figure import Marked, Part, Swatch
from runner.report.changed_items import ChangedItem
from runner.report.class_names import called, class_names
from runner.report.shown.box_drawing import LOOKS, WHOSE, DrawnBox, Whose, draw_boxes
from runner.report.shown.drawn import Drawn, Shown
from runner.report.shown.photo import Photo, photo
from runner.tasks.detection.changed_boxes import ChangedBox, FoundBox, What, changed_boxes, unchanged
from runner.tasks.detection.changes import OVERLAP, SURE
from runner.wording import Said, listed, recalled, say

# Boxes of a photo that are numbered and told.
_MOST = 12
_SAID: dict[What, Said] = {
    "lost": say("lost"),
    "won": say("won"),
    "false": say("false"),
    "no longer false": say("no longer false"),
}
_KIND = {"lost": "lost", "won": "gained", "false": "lost", "no longer false": "gained"}


def boxes_drawn(items: Sequence[ChangedItem], dataset: Dataset) -> list[Drawn] | None:
    """Return items with their boxes; None where the items are no photos."""
    names = class_names(dataset)
    found = [_drawn(item, dataset, names) for item in items]
    return found if any(drawn.pictures for drawn in found) else None


def boxes_legend() -> tuple[Part, ...]:
    """Return what colours and lines mean."""
    parts: list[Part] = []
    for whose, look in LOOKS.items():
        parts += [Swatch(look.colour, look.line), WHOSE[whose]]
    rule = say(
        ". A box counts as found from a score of {sure} at an overlap of {overlap}; thin: true boxes without a change.",
        sure=SURE,
        overlap=OVERLAP,
    )
    return (*parts, rule)


def _drawn(item: ChangedItem, dataset: Dataset, names: Sequence[str]) -> Drawn:
    before, after = item.change.before, item.change.after
    told = changed_boxes(before, after)
    lines = [_line(number, box, names) for number, box in enumerate(told[:_MOST], start=1)]
    if len(told) > _MOST:
        lines.append([say("and {count} more", count=len(told) - _MOST)])
    taken = photo(dataset, item.index)
    if taken is None:
        return Drawn(item, (), lines)
    boxes = [_placed(corners, "truth", taken, marked=False) for corners in unchanged(before, after)]
    tags = []
    for number, box in enumerate(told, start=1):
        mine = _boxes_of(box, taken)
        boxes += mine
        if number <= _MOST:
            tags.append((mine[0].corners[0], mine[0].corners[1], number))
    draw_boxes(taken.image, boxes, tags)
    before_words, after_words = (
        listed([recalled(word) for word in words.values()]) for words in (item.before, item.after)
    )
    words = say("float: {before}; int8: {after}", before=before_words, after=after_words)
    return Drawn(item, [Shown(taken.image, words)], lines)


def _boxes_of(box: ChangedBox, taken: Photo) -> list[DrawnBox]:
    found: list[tuple[NDArray[np.float64] | None, Whose]] = [(box.true, "truth")]
    found += [(None if box.before is None else box.before.corners, "float")]
    found += [(None if box.after is None else box.after.corners, "int8")]
    return [_placed(corners, whose, taken) for corners, whose in found if corners is not None]


def _placed(corners: NDArray[np.float64], whose: Whose, taken: Photo, *, marked: bool = True) -> DrawnBox:
    down, right = taken.scale
    x1, y1, x2, y2 = (float(corner) for corner in corners)
    return DrawnBox((x1 * right, y1 * down, x2 * right, y2 * down), whose, marked)


def _line(number: int, box: ChangedBox, names: Sequence[str]) -> list[Part]:
    return [
        Marked(str(number), "number-tag"),
        " ",
        Marked(_SAID[box.what], _KIND[box.what]),
        say(
            ": {category}, float {before}, int8 {after}",
            category=called(box.category, names),
            before=_score(box.before),
            after=_score(box.after),
        ),
    ]


def _score(found: FoundBox | None) -> str:
    if found is None:
        return say("nothing there")
    return say("{score:.3f} (too unsure)", score=found.score) if found.score < SURE else f"{found.score:.3f}"
