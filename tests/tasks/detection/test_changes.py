"""What a photo's row says in words, and what a change costs."""

from __future__ import annotations

import pytest

from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.rows import ItemBoxes
from tests.tasks.detection.boxes import NO_BOXES, detections, truth

METRIC = MeanAveragePrecision()
BOXES = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]]
ELSEWHERE = [100, 100, 120, 120]


def row(*found, known=None):
    """Return a photo's row, given (box, class, score) of what was found."""
    boxes, classes, scores = zip(*found, strict=True) if found else (NO_BOXES, [], [])
    return ItemBoxes.of(known or truth(BOXES, [0, 0, 1, 1]), detections(boxes, classes, scores)).row()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "0 of 4 found, 0 false"),
        ([(BOXES[0], 0, 0.9), (BOXES[1], 0, 0.25), (BOXES[2], 1, 0.3)], "3 of 4 found, 0 false"),
        # Another class, elsewhere, the same box again; one that is not sure enough is not counted.
        (
            [(BOXES[0], 1, 0.9), (ELSEWHERE, 0, 0.5), (BOXES[1], 0, 0.9), (BOXES[1], 0, 0.8), (BOXES[2], 1, 0.2)],
            "1 of 4 found, 3 false",
        ),
        ([([0, 0, 10, 5], 0, 0.9)], "1 of 4 found, 0 false"),
        ([([0, 0, 10, 4.9], 0, 0.9)], "0 of 4 found, 1 false"),
    ],
)
def test_words(found, said: str) -> None:
    assert METRIC.words(row(*found)) == {"boxes": said}


def test_crowd_is_not_to_be_found_and_what_lies_in_it_is_not_false() -> None:
    known = truth(BOXES[:2], [0, 0], crowd=[False, True])
    assert METRIC.words(row((BOXES[0], 0, 0.9), ([22, 2, 26, 6], 0, 0.8), known=known)) == {
        "boxes": "1 of 1 found, 0 false"
    }


FIRST, SECOND, FALSE = (BOXES[0], 0, 0.9), (BOXES[1], 0, 0.5), (ELSEWHERE, 0, 0.4)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([FIRST], [FIRST], None),
        ([FIRST], [(BOXES[0], 0, 0.3)], None),  # less sure, yet found
        ([FIRST, SECOND], [FIRST], 0.5),
        ([SECOND], [FIRST, SECOND], -0.9),
        ([FIRST], [SECOND], 0.4),
        ([FIRST], [FIRST, FALSE], 0.4),
        ([FIRST, FALSE], [FIRST], -0.4),
        ([FIRST], [FALSE], 1.3),
    ],
)
def test_cost_is_what_was_lost_less_what_was_won(before, after, expected) -> None:
    cost = METRIC.cost(row(*before), row(*after))
    assert cost is None if expected is None else cost == pytest.approx(expected)
