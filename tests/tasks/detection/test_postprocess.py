"""Boxes read out of the outputs of each family: a known box from hand-made outputs, and every refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runner.dataset.geometry import Letterbox
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import ConfigError
from runner.tasks.detection.nms_inside import NmsInside
from runner.tasks.detection.postprocess import Detections, KnowsOtherHeads, Postprocess
from runner.tasks.detection.rows import ItemBoxes
from runner.tasks.detection.ssd import Ssd
from runner.tasks.detection.yolov5 import Yolov5
from runner.tasks.detection.yolov8 import Yolov8
from runner.tasks.detection.yolox import Yolox
from tests.tasks.detection.boxes import truth

# A box of class 2 in an input of 64 x 96 (height, width), which has 96 + 24 + 6 places.
SIZE, PLACES, CLASSES = (64, 96), 126, 3
BOX, SCORE, CLASS = (20.0, 12.0, 44.0, 52.0), 0.75, 2


def centred(box=BOX) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]


def yolo_rows(place: int = 100, *, objectness: bool, places: int = PLACES) -> np.ndarray:
    """Return [places, (4 or 5) + classes], decoded, with the box at one place."""
    rows = np.zeros((places, (5 if objectness else 4) + CLASSES), np.float32)
    rows[:, :4] = (90, 60, 4, 4)
    rows[place, :4] = centred()
    rows[place, -CLASSES:] = (0.2, 0.0, 1.0 if objectness else SCORE)
    if objectness:
        rows[place, 4] = SCORE
    return rows


def raw_yolox() -> np.ndarray:
    """Return YOLOX's own numbers for the box, at the place of stride 16 that is column 2, row 2 (number 96 + 2 * 6 + 2)."""
    rows = np.zeros((PLACES, 5 + CLASSES), np.float32)
    x, y, width, height = centred()
    rows[96 + 2 * 6 + 2] = [x / 16 - 2, y / 16 - 2, np.log(width / 16), np.log(height / 16), SCORE, 0.1, 0.0, 1.0]
    return rows


def share(box=BOX, order=(0, 1, 2, 3)) -> np.ndarray:
    return (np.array(box, np.float32) / np.array([96, 64, 96, 64], np.float32))[list(order)]


def filled(row: Any, count: int = 5) -> np.ndarray:
    """Return an output of several rows, all 0 but the first."""
    first = np.asarray(row, np.float32)
    return np.concatenate([first[np.newaxis], np.zeros((count - 1, *first.shape), np.float32)])[np.newaxis]


def ssd_scores(background: int | None) -> np.ndarray:
    scores = np.array([0.1, 0.0, SCORE], np.float32)
    return filled(scores if background is None else np.insert(scores, background, 0.15))


CASES: dict[str, tuple[Postprocess, dict[str, np.ndarray]]] = {
    "yolox raw": (Yolox(), {"o": raw_yolox()[np.newaxis]}),
    "yolox decoded": (Yolox(decoded=True), {"o": yolo_rows(objectness=True)[np.newaxis]}),
    "yolov5": (Yolov5(), {"o": yolo_rows(objectness=True, places=3 * PLACES)[np.newaxis]}),
    "yolov5 with masks": (
        Yolov5(classes=3, output="o"),
        {"o": np.pad(yolo_rows(objectness=True), ((0, 0), (0, 32)), constant_values=7)[np.newaxis], "p": np.zeros(1)},
    ),
    "yolov8": (Yolov8(), {"o": yolo_rows(objectness=False).T[np.newaxis]}),
    "yolov8 transposed": (Yolov8(), {"o": yolo_rows(objectness=False)[np.newaxis]}),
    "yolov8 with keypoints": (
        Yolov8(classes=3),
        {"o": np.pad(yolo_rows(objectness=False), ((0, 0), (0, 51)), constant_values=300).T[np.newaxis]},
    ),
    "one output": (NmsInside(), {"o": filled([*BOX, SCORE, CLASS])}),
    "torchvision": (
        NmsInside(),
        {"boxes": np.array([BOX], np.float32), "labels": np.array([CLASS]), "scores": np.array([SCORE], np.float32)},
    ),
    "torchvision with a background": (
        NmsInside(first_class=1),
        {"a": np.array([BOX, BOX]), "b": np.array([CLASS + 1, 0]), "c": np.array([SCORE, 0.9])},
    ),
    "tensorflow": (
        NmsInside(order="yxyx", normalized=True),
        {
            "detection_boxes": np.stack([share(order=(1, 0, 3, 2))] * 4)[np.newaxis],
            "detection_classes": np.full((1, 4), CLASS, np.float32),
            "detection_scores": np.full((1, 4), SCORE, np.float32),
            "num_detections": np.ones(1, np.float32),
        },
    ),
    "tensorrt": (
        NmsInside(),
        {
            "num_dets": np.ones((1, 1), np.int32),
            "det_boxes": np.tile(np.array(BOX, np.float32), (1, 4, 1)),
            "det_scores": np.full((1, 4), SCORE, np.float32),
            "det_classes": np.full((1, 4), CLASS, np.int32),
        },
    ),
    "named": (
        NmsInside(boxes="x", scores="y", classes="z", order="xywh"),
        {"z": np.array([[2.0]]), "y": np.array([[SCORE]]), "x": np.array([[[20.0, 12, 24, 40]]]), "w": np.zeros((1, 4))},
    ),
    "ssd": (Ssd(), {"scores": ssd_scores(0), "boxes": filled(share())}),
    "ssd background last": (Ssd(background=3), {"scores": ssd_scores(3), "boxes": filled(share())}),
    "ssd without background": (
        Ssd(background=None, order="cxcywh", normalized=False),
        {"boxes": filled(centred()), "scores": ssd_scores(None)},
    ),
    "ssd of four classes, named": (Ssd(boxes="b", scores="a"), {"a": ssd_scores(0), "b": filled(share())}),
}  # fmt: skip


def surest(found: Detections) -> Detections:
    """Return the surest box alone."""
    return Detections(found.corners[:1], found.scores[:1], found.classes[:1])


@pytest.mark.parametrize("case", CASES)
def test_known_box_is_read(case: str) -> None:
    postprocess, outputs = CASES[case]
    assert isinstance(postprocess, KnowsOtherHeads)
    postprocess.check(outputs, SIZE)
    found = postprocess.detections(outputs, SIZE)
    assert found.corners[0] == pytest.approx(BOX, abs=1e-4)
    assert (found.scores[0], found.classes[0]) == (pytest.approx(SCORE), CLASS)
    assert found.corners.dtype == found.scores.dtype == np.float64 and found.classes.dtype == np.int64
    assert list(found.scores) == sorted(found.scores, reverse=True)


@pytest.mark.parametrize("case", CASES)
def test_numbers_that_are_not_finite_give_no_boxes_and_no_warning(case: str) -> None:
    postprocess, outputs = CASES[case]
    for value in (np.nan, np.inf, -np.inf):
        broken = {
            name: np.full_like(array, value) if array.dtype.kind == "f" else array for name, array in outputs.items()
        }
        assert len(postprocess.detections(broken, SIZE).scores) == 0


@pytest.mark.parametrize("family", [Yolox, Yolov5, Yolov8])
def test_only_rows_that_are_not_finite_are_lost(family) -> None:
    rows = raw_yolox() if family is Yolox else yolo_rows(objectness=family is Yolov5)
    rows[:50] = np.nan
    found = family().detections({"o": (rows.T if family is Yolov8 else rows)[np.newaxis]}, SIZE)
    assert found.corners[0] == pytest.approx(BOX, abs=1e-4)


@pytest.mark.parametrize(
    ("preprocess", "photo"),
    [
        (ImagePreprocess(letterbox=Letterbox([64, 96], "center")), (100, 80)),
        (ImagePreprocess(letterbox=Letterbox([64, 96], "center")), (333, 1000)),
        (ImagePreprocess(letterbox=Letterbox([64, 96], "corner")), (100, 80)),
        (ImagePreprocess(resize=[64, 96]), (480, 640)),
        (ImagePreprocess(resize=128, crop=64), (256, 512)),
        (ImagePreprocess(), (64, 96)),
    ],
)
@pytest.mark.parametrize("case", ["yolox raw", "yolov8", "tensorflow", "ssd"])
def test_boxes_come_back_to_the_photos_pixels(preprocess: ImagePreprocess, photo: tuple[int, int], case: str) -> None:
    """A box of the photo, taken into the input by hand, written as outputs and read, is the box again, cut at the edges."""
    frame = preprocess.frame(photo)
    scale, offset = np.array([*frame.scale[::-1]] * 2), np.array([*frame.offset[::-1]] * 2)
    placed = ItemBoxes.of(truth([], [], frame=frame), surest(CASES[case][0].detections(CASES[case][1], SIZE)))
    (box,) = placed.found.corners
    edges = np.array([photo[1], photo[0]] * 2, np.float64)
    np.testing.assert_allclose(box, np.clip((np.array(BOX) - offset) / scale, 0, edges), atol=1e-3)
    inside = (box > 0) & (box < edges)
    np.testing.assert_allclose((box * scale + offset)[inside], np.array(BOX)[inside], atol=1e-3)


def test_a_place_holds_one_class_or_several() -> None:
    rows = raw_yolox()
    rows[:, 5] *= 6
    assert Yolox().detections({"o": rows[np.newaxis]}, SIZE).classes.tolist() == [2]
    assert Yolox(multi_label=True).detections({"o": rows[np.newaxis]}, SIZE).classes.tolist() == [2, 0]
    rows = yolo_rows(objectness=False)
    assert Yolov8().detections({"o": rows[np.newaxis]}, SIZE).classes.tolist() == [2, 0]
    assert Yolov8(multi_label=False).detections({"o": rows[np.newaxis]}, SIZE).classes.tolist() == [2]


def test_thresholds_leave_out_and_suppress() -> None:
    rows = yolo_rows(objectness=False)
    rows[1, :4], rows[1, 6] = (32, 32, 24, 30), 0.5  # three quarters of the box
    outputs = {"o": rows[np.newaxis]}
    assert Yolov8(score=0.3, iou=0.7).detections(outputs, SIZE).scores.tolist() == [0.75]
    assert Yolov8(score=0.3, iou=0.8).detections(outputs, SIZE).scores.tolist() == [0.75, 0.5]
    assert Yolov8(score=0.5, iou=0.8).detections(outputs, SIZE).scores.tolist() == [0.75]
    assert Yolov8(score=0.1, iou=0.8, most=2).detections(outputs, SIZE).scores.tolist() == [0.75, 0.5]


YOLO = np.zeros((1, PLACES, 8), np.float32)
REFUSED: dict[str, tuple[Any, dict[str, np.ndarray], str]] = {
    "no such output": (
        Yolox(output="p"),
        {"o": YOLO},
        r"postprocess.output: the model has no output 'p'; it has 'o' \[1, 126, 8\]",
    ),
    "several outputs": (
        Yolov8(),
        {"o": YOLO, "p": YOLO},
        r"yolov8 reads one output.*has 2: 'o' \[1, 126, 8\], 'p'.*postprocess.output=NAME",
    ),
    "axes": (Yolov5(), {"o": YOLO[0]}, r"yolov5 reads an output \[1, places, 5 \+ classes\]; got 'o' \[126, 8\]"),
    "batch": (Yolov8(), {"o": np.zeros((2, 7, PLACES))}, r"got 'o' \[2, 7, 126\]"),
    "yolox places": (
        Yolox(),
        {"o": YOLO[:, 1:]},
        r"\[1, 126, 5 \+ classes\] for an input of 64x96 and strides 8, 16, 32; got 'o' \[1, 125, 8\].*strides",
    ),
    "yolov5 places": (Yolov5(), {"o": YOLO[:, 1:]}, r"of 378 places for an input of 64x96; got 'o' \[1, 125, 8\]"),
    "yolov8 of boxes through nms": (
        Yolov8(),
        {"o": np.zeros((1, 300, 6))},
        r"of 126 places.*got 'o' \[1, 300, 6\].*nms_inside",
    ),
    "yolov8 classes": (Yolov8(classes=5), {"o": YOLO}, r"of 5 classes, of 126 places"),
    "nms_inside columns": (
        NmsInside(),
        {"o": np.zeros((1, 5, 38))},
        r"one output \[1, boxes, 6\].*got 'o' \[1, 5, 38\]",
    ),
    "nms_inside which": (
        NmsInside(),
        {"a": np.zeros((1, 5, 4)), "b": np.zeros((1, 5)), "c": np.zeros((1, 5))},
        r"Name the outputs \(postprocess.boxes",
    ),
    "nms_inside lengths": (
        NmsInside(),
        {"boxes": np.zeros((1, 5, 4)), "labels": np.zeros((1, 4)), "scores": np.zeros((1, 5))},
        r"got 'boxes' \[1, 5, 4\]",
    ),
    "nms_inside name": (
        NmsInside(count="n"),
        {"o": np.zeros((1, 5, 6))},
        r"postprocess.count: the model has no output 'n'",
    ),
    "ssd outputs": (Ssd(), {"o": YOLO}, r"ssd reads two outputs.*got 'o'.*postprocess.boxes=NAME"),
    "ssd places": (
        Ssd(),
        {"b": np.zeros((1, 5, 4)), "s": np.zeros((1, 6, 3))},
        r"of as many places.*got 'b' \[1, 5, 4\], 's' \[1, 6, 3\]",
    ),
    "ssd background": (
        Ssd(background=3),
        {"b": np.zeros((1, 5, 4)), "s": np.zeros((1, 5, 3))},
        r"postprocess.background=3 among them",
    ),
    "ssd of four classes": (Ssd(), {"a": np.zeros((1, 5, 4)), "b": np.zeros((1, 5, 4))}, r"postprocess.scores=NAME"),
    "ssd name": (Ssd(scores="x"), {"b": np.zeros((1, 5, 4)), "s": np.zeros((1, 5, 3))}, r"no output 'x'; it has 'b'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_outputs_are_refused_with_what_is_expected(case: str) -> None:
    postprocess, outputs, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        postprocess.detections(outputs, SIZE)


MISREAD: dict[str, tuple[Any, dict[str, np.ndarray], str]] = {
    "yolox decoded": (
        Yolox(),
        CASES["yolox decoded"][1],
        r"got centres up to 90 in 'o' .*Set postprocess.decoded=true",
    ),
    "yolox raw": (Yolox(decoded=True), CASES["yolox raw"][1], r"expected pixels.*Set postprocess.decoded=false"),
    "yolov5 logits": (Yolov5(), {"o": YOLO - 3}, r"values 3 beyond that.*needs a Sigmoid"),
    "yolov8 keypoints": (Yolov8(), CASES["yolov8 with keypoints"][1], r"values 299 beyond that.*postprocess.classes=N"),
    "shares": (NmsInside(), CASES["tensorflow"][1], r"numbers up to 0.8125.*Set postprocess.normalized=true"),
    "pixels": (Ssd(), CASES["ssd without background"][1], r"numbers up to 40.*Set postprocess.normalized=false"),
    "ssd logits": (
        Ssd(),
        {"boxes": filled(share()), "scores": ssd_scores(0) * 9},
        r"got scores from 0 to 6.75.*Softmax",
    ),
}


@pytest.mark.parametrize("case", MISREAD)
def test_outputs_that_mean_something_else_are_told_by_their_values(case: str) -> None:
    postprocess, outputs, message = MISREAD[case]
    with pytest.raises(ConfigError, match=message):
        postprocess.check(outputs, SIZE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Yolox(score=1.5), "postprocess.score: expected 0 to 1, got 1.5"),
        (lambda: Yolov5(iou=-0.1), "postprocess.iou: expected 0 to 1, got -0.1"),
        (lambda: Yolov8(most=0), "postprocess.most: expected 1 or more, got 0"),
        (lambda: Yolov8(classes=0), "postprocess.classes: expected 1 or more, or null, got 0"),
        (lambda: Yolov5(classes=0), "postprocess.classes: expected 1 or more, or null, got 0"),
        (lambda: Yolox(strides=[]), r"postprocess.strides: expected whole numbers of 1 or more, got \[\]"),
        (lambda: Ssd(background=-1), "postprocess.background: expected 0 or more, or null, got -1"),
        (lambda: NmsInside(order="xxyy"), "postprocess.order: expected xyxy, yxyx, xywh or cxcywh, got xxyy"),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_few_places_far_outside_do_not_make_another_unit() -> None:
    """A face detector gives shares of 5 where it finds nothing, a raw head a centre many strides away."""
    rng = np.random.default_rng(4)
    boxes, scores = rng.uniform(0, 1, (1, 400, 4)), rng.uniform(0, 1, (1, 400, 2))
    boxes[0, :160] *= 6
    Ssd().check({"boxes": boxes, "scores": scores}, (240, 320))
    with pytest.raises(ConfigError, match=r"Set postprocess\.normalized=false"):
        Ssd().check({"boxes": 200 * boxes, "scores": scores}, (240, 320))
    head = rng.uniform(0, 1, (1, 64 + 16 + 4, 8))
    head[0, 3, 0] = 90.0
    Yolox().check({"o": head}, (64, 64))
