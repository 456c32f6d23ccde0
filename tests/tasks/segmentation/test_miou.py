"""Intersection over union: counted pixel by pixel, by shapes, layouts and types of outputs, and over draws of items."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from runner.dataset.frame import Frame
from runner.dataset.masks import MasksDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import ClassMap
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
from runner.tasks.segmentation.best_class import best_class
from runner.tasks.segmentation.miou import MeanIou
from runner.tasks.segmentation.pixel_counts import _AT_A_TIME, PixelCounts, drawn_mean_overlaps

METRIC = MeanIou()
SQUARE = Frame((8, 8), (8, 8))


def mask(classes, *, ignore=255, frame=None) -> ClassMap:
    array = np.asarray(classes)
    return ClassMap(array, ignore, frame or Frame(array.shape, array.shape))


def one_hot(classes, count, *, seed=0):
    """Return scores [1, count, h, w] whose highest is that of the class."""
    array = np.asarray(classes)
    scores = np.random.default_rng(seed).uniform(0, 0.5, (1, count, *array.shape)).astype(np.float32)
    for y, x in np.ndindex(array.shape):
        scores[0, array[y, x], y, x] = 1
    return scores


def score(output, truth, metric=METRIC):
    return metric.score({"out": np.asarray(output)}, {}, truth, None)


def by_loops(pairs, ignore=255):
    """Return (mean overlap, accuracy, overlap by class) in percent of pairs of a true and a said map of one size."""
    right, true, said = {}, {}, {}
    for known, found in pairs:
        for y, x in np.ndindex(known.shape):
            t, p = int(known[y, x]), int(found[y, x])
            if t == ignore:
                continue
            true[t] = true.get(t, 0) + 1
            if p >= 0:
                said[p] = said.get(p, 0) + 1
            right[t] = right.get(t, 0) + (t == p)
    each = {t: 100 * right[t] / (true[t] + said.get(t, 0) - right[t]) for t in sorted(true)}
    return sum(each.values()) / len(each), 100 * sum(right.values()) / sum(true.values()), each


def random_pairs(items, classes, seed, *, ignored=0.1):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(items):
        size = tuple(rng.integers(3, 12, 2))
        known = rng.integers(0, rng.integers(1, classes + 1), size)
        found = np.where(rng.random(size) < 0.6, known, rng.integers(0, classes, size))
        pairs.append((np.where(rng.random(size) < ignored, 255, known), found))
    return pairs


def rows_of(pairs, classes):
    return column([score(one_hot(found, classes), mask(known)) for known, found in pairs])


@pytest.mark.parametrize(("items", "classes", "seed"), [(1, 2, 0), (6, 4, 1), (12, 21, 2), (5, 3, 3)])
def test_figures_are_those_of_plain_loops(items, classes, seed) -> None:
    pairs = random_pairs(items, classes, seed)
    scores = rows_of(pairs, classes)
    mean, accuracy, each = by_loops(pairs)
    assert METRIC.aggregate(scores) == pytest.approx(mean, abs=1e-9)
    assert METRIC.figures(scores) == {"pixel_accuracy": pytest.approx(accuracy, abs=1e-9)}
    assert METRIC.by_class(scores) == pytest.approx(each, abs=1e-9)


def test_row_holds_each_class_that_is_true_or_said() -> None:
    row = score(one_hot([[0, 0, 3], [1, 3, 3]], 5), mask([[0, 7 - 6, 255], [1, 3, 0]]))
    #        class, right, true, said
    expected = [[0, 1, 2, 2], [1, 1, 2, 1], [3, 1, 1, 2]]
    assert row.dtype == np.float64 and row.reshape(-1, 4).tolist() == expected


def test_class_that_is_said_but_never_true_lowers_no_mean() -> None:
    scores = column([score(one_hot([[0, 2]], 3), mask([[0, 0]]))])
    assert METRIC.by_class(scores) == {0: 50.0}
    assert METRIC.aggregate(scores) == 50.0


def test_every_way_of_telling_a_map_gives_the_same_row() -> None:
    known, found = random_pairs(1, 4, 7)[0]
    truth, scores = mask(known), one_hot(found, 4)
    own = score(scores, truth).tolist()
    whole = np.asarray(found)[np.newaxis]
    outputs = [
        scores.astype(np.float16),
        scores.astype(np.float64) * 100 - 3,
        np.moveaxis(scores, 1, -1),
        np.ascontiguousarray(np.moveaxis(scores, 1, -1)),
        whole.astype(np.int64),
        whole[:, np.newaxis].astype(np.int32),
        whole[..., np.newaxis].astype(np.uint8),
    ]
    assert [score(each, truth).tolist() for each in outputs] == [own] * len(outputs)
    assert score(whole.astype(np.float32), truth, MeanIou(layout="map")).tolist() == own


def test_one_score_a_pixel_is_held_against_the_threshold() -> None:
    truth = mask([[0, 1], [1, 0]])
    probabilities = np.array([[[0.2, 0.9], [0.5, 0.7]]], np.float32)  # 0.5 is not above 0.5
    expected = score(np.array([[[0, 1], [0, 1]]]), truth).tolist()
    for shaped in (probabilities, probabilities[:, np.newaxis], probabilities[..., np.newaxis]):
        assert score(shaped, truth).tolist() == expected
        METRIC.check_outputs({"out": shaped}, truth)
    logits = np.log(probabilities / (1 - probabilities))
    assert score(logits, truth, MeanIou(threshold=0.0)).tolist() == expected
    MeanIou(threshold=0.0).check_outputs({"out": logits}, truth)
    with pytest.raises(
        ConfigError, match=r"metric.threshold: expected probabilities .*'out' \[1, 2, 2\].*threshold=0 for logits"
    ):
        METRIC.check_outputs({"out": logits}, truth)


def test_pixels_of_a_mask_are_held_against_the_nearest_place_of_the_output() -> None:
    rng = np.random.default_rng(3)
    known, coarse = rng.integers(0, 3, (30, 50)), rng.integers(0, 3, (6, 5))
    frame = Frame((30, 50), (48, 40), (48 / 30, 40 / 50))
    found = np.array([[coarse[int((y + 0.5) / 30 * 6), int((x + 0.5) / 50 * 5)] for x in range(50)] for y in range(30)])
    assert METRIC.aggregate(column([score(one_hot(coarse, 3), mask(known, frame=frame))])) == pytest.approx(
        by_loops([(known, found)])[0]
    )


def test_pixels_that_the_input_does_not_hold_are_not_counted() -> None:
    known = np.arange(16).reshape(4, 4) % 3
    cropped = Frame((4, 4), (2, 2), offset=(-1.0, -1.0))
    found = np.array([[0, 1], [1, 2]])
    assert METRIC.aggregate(column([score(one_hot(found, 3), mask(known, frame=cropped))])) == pytest.approx(
        by_loops([(known[1:3, 1:3], found)])[0]
    )


def test_pixels_of_a_frame_around_the_photo_are_not_counted() -> None:
    known, found = np.random.default_rng(0).integers(0, 3, (2, 2, 4))
    letterbox = Frame((2, 4), (4, 4), offset=(1.0, 0.0))
    around = np.full((4, 4), 2)
    around[1:3] = found
    row = score(one_hot(around, 3), mask(known, frame=letterbox))
    assert row.tolist() == score(one_hot(found, 3), mask(known)).tolist()
    at_input = score(one_hot(around, 3), mask(known, frame=letterbox), MeanIou(resolution="input"))
    assert at_input.tolist() == row.tolist()


def test_in_the_inputs_resolution_all_photos_weigh_alike() -> None:
    rng = np.random.default_rng(5)
    for size in ((30, 50), (9, 7), (16, 20)):
        known, found = rng.integers(0, 3, size), rng.integers(0, 3, (16, 20))
        frame = Frame(size, (16, 20), (16 / size[0], 20 / size[1]))
        nearest = [[int((y + 0.5) * size[0] / 16), int((x + 0.5) * size[1] / 20)] for y in range(16) for x in range(20)]
        at = known[tuple(np.array(nearest).T)].reshape(16, 20)
        row = score(one_hot(found, 3), mask(known, frame=frame), MeanIou(resolution="input"))
        assert row.tolist() == score(one_hot(found, 3), mask(at)).tolist()
        assert row.reshape(-1, 4)[:, 2].sum() == 320


def test_no_score_that_is_nan_wins_and_nothing_but_nan_is_no_answer() -> None:
    scores = np.array(
        [[[[math.nan, math.nan, -math.inf]], [[-math.inf, math.nan, -math.inf]], [[math.nan, math.nan, math.inf]]]]
    )
    assert best_class(scores[0]).tolist() == [[1, -1, 2]]
    row = score(scores, mask([[1, 0, 2]]))
    assert row.reshape(-1, 4).tolist() == [[0, 0, 1, 0], [1, 1, 1, 1], [2, 1, 1, 1]]
    assert score(np.full((1, 1, 1, 3), math.nan), mask([[1, 0, 2]])).reshape(-1, 4)[:, 3].tolist() == [0, 0, 0]


def test_class_numbers_that_are_none_are_no_answer() -> None:
    truth = mask([[0, 1, 2]])
    assert score(np.array([[[-1, 1, 2**40]]]), truth).reshape(-1, 4)[:, 3].tolist() == [0, 1, 0]
    floats = np.array([[[math.nan, 1.0, math.inf]]])
    assert score(floats, truth, MeanIou(layout="map")).reshape(-1, 4)[:, 3].tolist() == [0, 1, 0]


def test_best_class_is_numpys_argmax_over_blocks_of_rows() -> None:
    rng = np.random.default_rng(1)
    for shape in ((21, 40, 700), (1, 5, 5), (3, 1, 1), (200, 3, 2000)):
        scores = np.round(rng.normal(size=shape), 1).astype(np.float32)  # with ties
        assert np.array_equal(best_class(scores), scores.argmax(axis=0))
        last = np.moveaxis(np.ascontiguousarray(np.moveaxis(scores, 0, -1)), -1, 0)
        assert np.array_equal(best_class(last), scores.argmax(axis=0))


def test_mask_of_large_numbers_without_an_ignored_class() -> None:
    known = np.array([[255, 40000], [40000, 65535]], np.uint16)
    scores = column([score(np.array([[[255, 40000], [7, 65535]]]), mask(known, ignore=None))])
    assert METRIC.by_class(scores) == {255: 100.0, 40000: 50.0, 65535: 100.0}


def test_nothing_that_counts_is_no_number_and_no_loss() -> None:
    scores = column([score(one_hot([[0, 1]], 2), mask([[255, 255]]))])
    assert scores.shape == (1, 0)
    assert math.isnan(METRIC.aggregate(scores)) and METRIC.loss(scores, scores) == 0.0
    assert METRIC.figures(scores) == {} and METRIC.by_class(scores) == {}
    assert METRIC.words(scores[0])["pixel_accuracy"] == "no pixel counts"
    assert METRIC.resampled_losses(scores, scores, np.zeros((2, 1), np.int64)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("at_a_time", [_AT_A_TIME, 40])
def test_losses_over_draws_are_the_losses_of_their_items(monkeypatch: pytest.MonkeyPatch, at_a_time) -> None:
    monkeypatch.setattr("runner.tasks.segmentation.pixel_counts._AT_A_TIME", at_a_time)
    before, after = rows_of(random_pairs(9, 5, 1), 5), rows_of(random_pairs(9, 5, 2), 5)
    draws = np.random.default_rng(0).integers(0, 9, (6, 9))
    expected = [METRIC.loss(before[draw], after[draw]) for draw in draws]
    assert METRIC.resampled_losses(before, after, draws) == pytest.approx(expected, abs=1e-9)
    once = np.ones((1, 9), np.int64)
    assert drawn_mean_overlaps(before, once)[0] == pytest.approx(METRIC.aggregate(before), abs=1e-9)


def test_loss_is_in_points_and_accepted_strictly_below_the_target() -> None:
    before, after = (
        column([score(one_hot([found], 2), mask([[0, 0, 1, 1]]))]) for found in ([0, 0, 1, 1], [0, 0, 1, 0])
    )
    loss = 100 - (100 * 2 / 3 + 50) / 2
    assert METRIC.loss(before, after) == pytest.approx(loss) == METRIC.cost(before[0], after[0])
    assert METRIC.loss(after, before) == pytest.approx(-loss)
    assert METRIC.cost(before[0], before[0]) is None
    assert METRIC.accepts(before, after, loss + 1e-6) and not METRIC.accepts(before, after, METRIC.loss(before, after))
    assert METRIC.words(after[0]) == {"pixel_accuracy": "75.0 %", "miou": "58.3 %", "classes": "2"}


def test_what_the_metric_says_of_itself() -> None:
    protocols = (ChecksOutputs, FiguresByClass, KnowsTruth, MoreFigures, Resampled, TellsChanges)
    assert all(isinstance(METRIC, protocol) for protocol in protocols) and not needs_reference(METRIC)
    assert METRIC.why_not(mask([[0]])) is None
    assert METRIC.why_not(3) == "class maps (dataset=masks)"
    assert (METRIC.name, METRIC.unit, METRIC.needs_labels) == ("miou", "percentage points", True)


@pytest.mark.parametrize(
    ("outputs", "metric", "message"),
    [
        (
            {"a": (1, 9)},
            METRIC,
            r"no output is a map of an input of 8x8; expected scores \[1, classes, h, w\].*got 'a' \[1, 9\]",
        ),
        (
            {"a": (1, 3, 4, 4), "b": (1, 3, 8, 8)},
            METRIC,
            r"several outputs may be the map: 'a' \[1, 3, 4, 4\], 'b'.*metric.output=NAME",
        ),
        (
            {"a": (1, 3, 4, 4)},
            MeanIou(output="c"),
            r"metric.output: the model has no output 'c'; it has 'a' \[1, 3, 4, 4\]",
        ),
        ({"a": (1, 2, 6, 9)}, MeanIou(output="a"), r"metric.output: 'a' \[1, 2, 6, 9\] is no map of an input of 8x8"),
        (
            {"a": (1, 3, 8, 8)},
            METRIC,
            r"a mask holds class 5, but the output 'a' \[1, 3, 8, 8\], read as nchw, tells the classes 0 to 2",
        ),
        ({"a": (2, 3, 8, 8)}, METRIC, "no output is a map"),
    ],
)
def test_outputs_that_are_no_map_are_refused(outputs, metric, message) -> None:
    truth = mask(np.full((8, 8), 5), frame=SQUARE)
    with pytest.raises(ConfigError, match=message):
        metric.check_outputs({name: np.zeros(shape, np.float32) for name, shape in outputs.items()}, truth)


def test_named_output_and_layout_are_taken_where_several_fit() -> None:
    truth = mask(np.zeros((8, 8), np.int64), frame=SQUARE)
    outputs = {
        "a": one_hot(np.zeros((4, 4), np.int64), 3),
        "b": one_hot(np.ones((8, 8), np.int64), 3),
        "c": np.zeros((1, 4)),
    }
    assert MeanIou(output="a").aggregate(column([MeanIou(output="a").score(outputs, {}, truth, None)])) == 100.0
    assert MeanIou(output="b").aggregate(column([MeanIou(output="b").score(outputs, {}, truth, None)])) == 0.0
    # 8 rows, 8 columns, 8 classes: nothing but a word can tell.
    cube = one_hot(np.arange(64).reshape(8, 8) % 8, 8)
    assert score(cube, truth, MeanIou(layout="nhwc")).tolist() == score(np.moveaxis(cube, -1, 1), truth).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "hwc"}, "metric.layout: expected null, nchw, nhwc or map, got hwc"),
        ({"resolution": "x"}, "metric.resolution"),
    ],
)
def test_options_that_are_none_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        MeanIou(**options)


@pytest.mark.zoo
@pytest.mark.slow
def test_deeplab_has_the_mean_overlap_that_is_known(zoo: Path) -> None:
    preprocess = ImagePreprocess(resize=[513, 513], interpolation="bilinear", scale=1 / 127.5, mean=1.0)
    data = MasksDataset(
        str(zoo / "coco_val128" / "images"), str(zoo / "coco_val128" / "masks_voc21"), preprocess=preprocess
    )
    session = ort.InferenceSession(zoo / "models" / "deeplabv3_mnv2_dm05_voc21_513.onnx")
    metrics = {each: MeanIou(resolution=each) for each in ("mask", "input")}
    rows = {each: [] for each in metrics}
    for index in range(len(data)):
        item = data.item(index)
        outputs = {"scores": session.run(None, {"input": next(iter(item.arrays.values()))[np.newaxis]})[0]}
        for name, metric in metrics.items():
            rows[name].append(metric.score(outputs, {}, item.label, None))
    found = {name: column(each) for name, each in rows.items()}
    assert METRIC.aggregate(found["input"]) == pytest.approx(39.3, abs=0.3)
    assert METRIC.figures(found["input"])["pixel_accuracy"] == pytest.approx(84.9, abs=0.1)
    # The masks' own pixels: larger photos weigh more. Weighed alike they give the same.
    alike = []
    for row in rows["mask"]:
        counts = row.reshape(-1, 4).copy()
        counts[:, 1:] *= 513 * 513 / max(counts[:, 2].sum(), 1)
        alike.append(counts.reshape(-1))
    assert METRIC.aggregate(column(alike)) == pytest.approx(METRIC.aggregate(found["input"]), abs=0.05)
    assert len(PixelCounts.total(found["mask"]).true_classes) == 20
