"""Which boxes changed: told one by one, and together what the change of the photo costs."""

from __future__ import annotations

import numpy as np
import pytest

from runner.tasks.detection.changed_boxes import changed_boxes, overlap, unchanged
from runner.tasks.detection.changes import Seen, cost
from runner.tasks.detection.rows import ItemBoxes
from tests.tasks.detection.boxes import NO_BOXES, detections, random_items, truth

LEFT, RIGHT, BELOW = [0, 0, 10, 10], [100, 0, 110, 10], [0, 100, 10, 110]


def row(found: list[list[float]], classes: list[int], scores: list[float]) -> np.ndarray:
    """Return a row of a photo with two true boxes, of classes 1 and 2."""
    return ItemBoxes.of(truth([LEFT, RIGHT], [1, 2]), detections(found or NO_BOXES, classes, scores)).row()


def test_a_true_box_that_is_found_too_unsurely_is_lost_and_its_new_score_told() -> None:
    before, after = row([LEFT, RIGHT], [1, 2], [0.9, 0.8]), row([LEFT, RIGHT], [1, 2], [0.2, 0.8])
    (box,) = changed_boxes(before, after)
    assert box.before is not None and box.after is not None and box.true is not None
    assert (box.what, box.category, box.before.score, box.after.score) == ("lost", 1, 0.9, 0.2)
    assert box.true.tolist() == box.before.corners.tolist() == box.after.corners.tolist() == LEFT
    assert unchanged(before, after).tolist() == [RIGHT]
    (back,) = changed_boxes(after, before)
    assert (back.what, back.harm) == ("won", -0.9)


def test_false_boxes_come_and_go_and_those_that_stay_are_not_told() -> None:
    before = row([LEFT, BELOW, [50, 50, 60, 60]], [1, 1, 2], [0.9, 0.6, 0.5])
    after = row([LEFT, BELOW, [200, 0, 220, 20]], [1, 1, 2], [0.9, 0.7, 0.4])
    came, gone = changed_boxes(before, after)
    assert (came.what, came.before, came.category) == ("false", None, 2)
    assert (gone.what, gone.after) == ("no longer false", None)
    assert gone.before is not None and gone.before.corners.tolist() == [50, 50, 60, 60]


def test_a_crowd_is_neither_lost_nor_won() -> None:
    known = truth([LEFT, RIGHT], [1, 2], crowd=[True, False])
    before = ItemBoxes.of(known, detections([LEFT, RIGHT], [1, 2], [0.9, 0.9])).row()
    after = ItemBoxes.of(known, detections([RIGHT], [2], [0.9])).row()
    assert changed_boxes(before, after) == [] and cost(before, after) is None
    assert unchanged(before, after).tolist() == [RIGHT]


@pytest.mark.parametrize("seed", range(20))
def test_told_boxes_make_up_the_cost_but_for_the_scores_of_false_boxes_that_stay(seed: int) -> None:
    items = random_items(1, 3, seed, true=6, found=20)
    other = random_items(1, 3, seed, true=6, found=20)[0]
    rng = np.random.default_rng(seed)
    moved = other.found.scores * rng.uniform(0.3, 1.2, len(other.found.scores))
    after = ItemBoxes(
        other.corners,
        other.classes,
        other.areas,
        other.crowd,
        detections(other.found.corners, other.found.classes, moved),
    ).row()
    before = items[0].row()
    told = changed_boxes(before, after)
    was, now = Seen.of(before), Seen.of(after)
    moves = [(box.what == "lost") - (box.what == "won") for box in told]
    assert sum(moves) == np.count_nonzero(was.sureness) - np.count_nonzero(now.sureness)
    false = [(box.what == "false") - (box.what == "no longer false") for box in told]
    assert sum(false) == len(now.false) - len(was.false)
    assert [box.harm for box in told] == sorted((box.harm for box in told), reverse=True)
    lost = sum(box.harm for box in told if box.what in ("lost", "won"))
    assert lost == pytest.approx(float((was.sureness - now.sureness)[(was.sureness > 0) != (now.sureness > 0)].sum()))


def test_overlap_is_intersection_over_union() -> None:
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float64)
    assert overlap(np.array([0, 0, 10, 10.0]), others).tolist() == pytest.approx([1, 1 / 3, 0, 0])
