"""Non-maximum suppression against a plain double loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.detection import nms
from runner.tasks.detection.nms import intersections_over_unions, suppressed, surest


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0


def plain(corners, scores, classes, iou: float, most: int) -> list[int]:
    """Return which boxes stay, surest first."""
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        if all(classes[k] != classes[index] or overlap(corners[k], corners[index]) <= iou for k in kept):
            kept.append(index)
    return kept[:most]


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 4), st.sampled_from([0.0, 0.3, 0.65, 1.0]),
    st.integers(1, 40), st.sampled_from([1, 7, 256]), st.booleans(),
)  # fmt: skip
def test_kept_boxes_are_those_of_a_double_loop(seed, count, kinds, iou, most, block, whole) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 30, (count, 2))
    corners = np.concatenate([places, places + rng.uniform(0, 20, (count, 2))], axis=1)
    corners = np.round(corners) if whole else corners
    scores, classes = np.round(rng.random(count), 1), rng.integers(0, kinds, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "_BLOCK", block)
        found = suppressed(surest(corners, scores, classes, count), iou, most)
    expected = plain(corners.tolist(), scores.tolist(), classes.tolist(), iou, most)
    np.testing.assert_array_equal(found.corners, corners[expected])
    np.testing.assert_array_equal(found.scores, scores[expected])
    np.testing.assert_array_equal(found.classes, classes[expected])


@given(st.integers(0, 2**32 - 1), st.integers(0, 50), st.integers(1, 60))
def test_surest_boxes_are_the_first_of_a_stable_sort(seed, count, most) -> None:
    rng = np.random.default_rng(seed)
    corners, scores = np.tile(np.arange(count)[:, np.newaxis], (1, 4)), np.round(rng.random(count), 1)
    found = surest(corners, scores, np.zeros(count, np.int64), most)
    expected = sorted(range(count), key=lambda index: -scores[index])[:most]
    assert found.corners[:, 0].tolist() == expected


def test_what_is_no_box_is_left_out_without_a_warning() -> None:
    good = [0, 0, 1, 1]
    corners = [good, [np.nan, 0, 1, 1], [0, 0, np.inf, 1], [2, 0, 1, 1], [0, 2, 1, 1], good, good]
    scores = [0.5, 0.5, 0.5, 0.5, 0.5, np.nan, np.inf]
    found = surest(np.array(corners), np.array(scores), np.arange(7), 10)
    assert (found.corners.tolist(), found.classes.tolist()) == ([good], [0])


def test_boxes_without_an_area_overlap_nothing() -> None:
    point = np.array([[1.0, 1, 1, 1]])
    assert intersections_over_unions(point, np.array([[1.0, 1, 1, 1], [0, 0, 2, 2]])).tolist() == [[0, 0]]
