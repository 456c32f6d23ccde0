"""AP: pycocotools' figures, hand-made cases, draws of items, and what the metric says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.evaluation.metric import (
    ChecksOutputs,
    FiguresByClass,
    KnowsTruth,
    MoreFigures,
    Resampled,
    TellsChanges,
    needs_reference,
)
from runner.evaluation.scores import column
from runner.tasks.detection import average_precision
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.postprocess import Detections
from runner.tasks.detection.resampling import ResampledPrecision
from runner.tasks.detection.rows import ItemBoxes
from runner.tasks.detection.yolox import Yolox
from tests.tasks.detection.boxes import NO_BOXES, by_pycocotools, detections, random_items, truth

METRIC = MeanAveragePrecision()
BOX = [10.0, 10.0, 50.0, 50.0]
CASES = [(1, 1, 0, {}), (20, 3, 1, {}), (60, 12, 2, {}), (30, 2, 3, {"ties": True}), (40, 5, 4, {"ties": True})]
CASES += [(12, 2, 5, {"true": 30, "found": 250}), (25, 4, 6, {"found": 0.5}), (25, 4, 7, {"true": 0.3})]


def rows(items):
    return column([item.row() for item in items])


@pytest.mark.parametrize(("photos", "classes", "seed", "more"), CASES)
def test_figures_are_those_of_pycocotools(photos, classes, seed, more) -> None:
    items = random_items(photos, classes, seed, **more)
    scores = rows(items)
    own = {"map": METRIC.aggregate(scores), **METRIC.figures(scores)}
    told = {name: value for name, value in by_pycocotools(items).items() if value >= 0}
    assert own == pytest.approx(told, abs=1e-9)


@pytest.mark.parametrize(("photos", "classes", "seed", "more"), CASES)
def test_every_item_drawn_once_is_the_whole(photos, classes, seed, more) -> None:
    items = random_items(photos, classes, seed, **more)
    assert ResampledPrecision(items).percent(np.ones(photos, np.int64)) == pytest.approx(
        METRIC.aggregate(rows(items)), abs=1e-9
    )


# Where boxes of one photo have equal scores, copies of the photo may stand in either order.
@pytest.mark.parametrize(("photos", "classes", "seed", "more"), [case for case in CASES if "ties" not in case[3]])
def test_a_draw_is_what_its_items_give(photos, classes, seed, more) -> None:
    items = random_items(photos, classes, seed, **more)
    for draw in np.random.default_rng(seed).integers(0, photos, (5, photos)):
        expected = METRIC.aggregate(rows([items[index] for index in sorted(draw)]))
        found = ResampledPrecision(items).percent(np.bincount(draw, minlength=photos))
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_losses_over_draws_are_the_losses_of_their_items() -> None:
    before, after = (rows(random_items(30, 3, 8, found=found)) for found in (15, 10))
    draws = np.sort(np.random.default_rng(0).integers(0, 30, (7, 30)), axis=1)
    assert METRIC.resampled_losses(before, after, draws) == pytest.approx(
        [METRIC.loss(before[draw], after[draw]) for draw in draws], abs=1e-9
    )


def test_classes_go_through_the_library_in_groups_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    items = random_items(30, 9, 9)
    whole = average_precision._computed(items)
    monkeypatch.setattr(average_precision, "_AT_A_TIME", 40)
    assert (
        len(list(average_precision._groups(whole.classes, np.concatenate([item.found.classes for item in items])))) > 3
    )
    parts = average_precision._computed(items)
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.classes, whole.classes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(BOX, 0, 0.9)], (100, 100)),
        ([(BOX, 1, 0.9)], (0, 0)),
        ([], (0, 0)),
        # 40 x 40 against 40 x 30 in it: an overlap of 0.75 counts at 0.50 to 0.75, six of ten.
        ([([10, 10, 50, 40], 0, 0.9)], (60, 100)),
        # A surer wrong box halves the precision at every recall.
        ([(BOX, 0, 0.8), ([100, 100, 140, 140], 0, 0.9)], (50, 50)),
        # A less sure one costs nothing, and neither does the same box again.
        ([(BOX, 0, 0.9), ([100, 100, 140, 140], 0, 0.8), (BOX, 0, 0.7)], (100, 100)),
    ],
)
def test_one_true_box(found, expected) -> None:
    boxes, classes, sureness = zip(*found, strict=True) if found else ((), (), ())
    scores = rows([ItemBoxes.of(truth([BOX], [0]), detections(boxes, classes, sureness))])
    assert (METRIC.aggregate(scores), METRIC.figures(scores)["map50"]) == pytest.approx(expected)


def test_crowd_takes_any_number_of_boxes_and_counts_for_nothing() -> None:
    known = truth([BOX, [100, 100, 300, 300]], [0, 0], crowd=[False, True])
    found = detections([[110, 110, 150, 150], [200, 200, 250, 250], BOX], [0, 0, 0], [0.9, 0.8, 0.7])
    assert METRIC.aggregate(rows([ItemBoxes.of(known, found)])) == pytest.approx(100)


def test_figures_by_class_and_size_are_of_what_occurs() -> None:
    known = truth([BOX, [100, 100, 110, 110]], [3, 7])
    scores = rows([ItemBoxes.of(known, detections([BOX, BOX], [3, 5], [0.9, 0.8]))])
    assert METRIC.by_class(scores) == pytest.approx({3: 100, 7: 0})
    assert METRIC.figures(scores) == pytest.approx({"map50": 50, "map75": 50, "map_small": 0, "map_medium": 100})


def test_items_without_a_true_box_give_no_figure_and_no_loss() -> None:
    nothing = rows(
        [
            ItemBoxes.of(truth(NO_BOXES, []), detections(boxes, [0] * len(boxes), [0.9] * len(boxes)))
            for boxes in ([], [BOX])
        ]
    )
    assert math.isnan(METRIC.aggregate(nothing))
    assert (METRIC.loss(nothing, nothing[::-1]), METRIC.figures(nothing), METRIC.by_class(nothing)) == (0, {}, {})
    assert METRIC.accepts(nothing, nothing, 0.1)
    assert METRIC.resampled_losses(nothing, nothing, np.array([[0, 0], [0, 1]])).tolist() == [0, 0]


def test_loss_is_in_percentage_points_and_negative_where_the_quantized_model_is_better() -> None:
    good, bad = (
        rows([ItemBoxes.of(truth([BOX], [0]), found)])
        for found in (detections([BOX], [0], [1]), detections([], [], []))
    )
    assert (METRIC.loss(good, bad), METRIC.loss(bad, good), METRIC.loss(good, good)) == (100, -100, 0)
    assert not METRIC.accepts(good, bad, 100) and METRIC.accepts(good, bad, 100.5)
    assert (METRIC.name, METRIC.unit) == ("map", "percentage points")


def test_library_prints_and_logs_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    METRIC.aggregate(rows(random_items(5, 2, 10)))
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


@dataclass(frozen=True)
class Given:
    """A postprocess of a user's own: the outputs are the boxes."""

    def detections(self, outputs, size) -> Detections:
        return Detections(outputs["boxes"], outputs["scores"], outputs["classes"])


def test_row_holds_what_was_found_in_the_photos_pixels_and_what_is_true() -> None:
    frame = type(truth([], []).frame)((100, 200), (416, 416), (2.0, 2.0), (8.0, 4.0))
    known = truth([[1, 2, 30, 40], [5, 6, 70, 80]], [4, 2], areas=[9, 10], crowd=[False, True], frame=frame)
    outputs = {"boxes": np.array([[24.0, 28, 44, 68]]), "scores": np.array([0.5]), "classes": np.array([4])}
    metric = MeanAveragePrecision(Given())
    row = metric.score(outputs, {}, known, None)
    assert row.tolist() == [2, 1, 1, 2, 30, 40, 4, 9, 0, 5, 6, 70, 80, 2, 10, 1, 10, 10, 20, 30, 4, 0.5]
    item = ItemBoxes.from_row(row)
    for name in ("corners", "classes", "areas", "crowd"):
        np.testing.assert_array_equal(getattr(item, name), getattr(known, name))
    assert (item.found.corners.tolist(), item.found.classes.tolist()) == ([[10, 10, 20, 30]], [4])


def test_metric_has_every_protocol_and_looks_at_no_reference() -> None:
    for protocol in (KnowsTruth, ChecksOutputs, MoreFigures, FiguresByClass, Resampled, TellsChanges):
        assert isinstance(METRIC, protocol), protocol
    assert METRIC.needs_labels and not METRIC.needs_classes and not needs_reference(METRIC)


def test_truth_of_another_kind_is_told() -> None:
    assert METRIC.why_not(truth([BOX], [0])) is None
    assert METRIC.why_not(3) == METRIC.why_not(None) == "boxes (dataset=coco or dataset=yolo)"


def test_missing_postprocess_is_refused_with_those_there_are() -> None:
    expected = r"postprocess=yolox \| yolov5 \| yolov8 \| nms_inside \| ssd or a class of your own, got none"
    with pytest.raises(ConfigError, match=expected):
        METRIC.check_outputs({"y": np.zeros((1, 2, 3))}, truth([BOX], [0]))


def test_outputs_are_checked_by_the_postprocess() -> None:
    with pytest.raises(ConfigError, match=r"yolox reads an output \[1, 8400, 5 \+ classes\].*got 'y' \[1, 2, 3\]"):
        MeanAveragePrecision(Yolox()).check_outputs({"y": np.zeros((1, 2, 3))}, truth([BOX], [0]))
    MeanAveragePrecision(Given()).check_outputs(
        {"boxes": NO_BOXES, "scores": np.empty(0), "classes": np.empty(0, np.int64)}, truth([BOX], [0])
    )
