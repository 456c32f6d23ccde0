"""When a figure is no better than chance, against sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.frame import Frame
from runner.dataset.subset import Subset
from runner.dataset.truth import Boxes
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.accuracy import TopK
from runner.evaluation.distance import Kl
from runner.evaluation.evaluator import Evaluator
from runner.modes.expectation import Expectation, at_least, chance_caution
from runner.modes.input_values import InputsSeen, InputValues
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.nms_inside import NmsInside
from tests.data import Items
from tests.models import onnx_text

SEEN = InputsSeen({"x": InputValues(-1.0, 2.0, 0.5)}, 4)


@pytest.mark.parametrize(("items", "classes"), [(1, 2), (7, 2), (40, 10), (300, 1000), (64, 3)])
def test_probability_is_the_binomial_tail(items: int, classes: int) -> None:
    p = Fraction(1, classes)
    terms = [comb(items, k) * p**k * (1 - p) ** (items - k) for k in range(items + 1)]
    for hits in range(items + 1):
        assert at_least(hits, items, 1 / classes) == pytest.approx(float(sum(terms[hits:])), rel=1e-9)


def test_fifty_thousand_items_are_counted_too() -> None:
    assert at_least(50, 50_000, 0.001) == pytest.approx(0.519, abs=0.01)
    assert at_least(38_000, 50_000, 0.001) == 0.0


def cautions(hits: int, items: int, classes: int, k: int = 1) -> list[str]:
    """Return the warnings of a model whose score for class 0 is the highest, with so many items of that class."""
    scores = np.arange(classes, 0, -1, dtype=np.float32)
    x = np.tile(scores, (items, 1))
    model = onnx_text(f"g (float[N,{classes}] x) => (float[N,{classes}] y) {{ y = Identity (x) }}")
    data = Items(x, [0] * hits + [classes - 1] * (items - hits))
    evaluator = Evaluator(Engine(1), Subset(data, range(items)), [TopK(k)])
    return chance_caution(SEEN, evaluator.against(evaluator.outputs(ir.from_proto(model))))


@pytest.mark.parametrize(
    ("hits", "items", "classes", "k", "warned"),
    [
        (0, 10, 1000, 1, True),
        (1, 10, 1000, 1, False),
        (5, 50, 10, 1, True),
        (8, 50, 10, 1, True),
        (12, 50, 10, 1, False),
        (4, 4, 2, 1, False),
        (1, 1, 10, 1, False),
        (26, 50, 2, 1, True),
        (40, 50, 2, 1, False),
        (25, 50, 10, 5, True),
        (40, 50, 10, 5, False),
        (0, 50, 5, 5, False),
    ],
)
def test_figure_that_guessing_gives_is_a_warning(hits: int, items: int, classes: int, k: int, warned: bool) -> None:
    assert bool(cautions(hits, items, classes, k)) == warned


def test_warning_says_what_to_look_at() -> None:
    assert cautions(5, 50, 10) == [
        "the float model's top1 of 10 over 50 items is no better than chance (10 with 10 classes), so what is lost against "
        "it says little. Look at how the data reaches the model: dataset.preprocess.mean, std and scale (the input 'x' holds "
        "-1 to 2, mean 0.5), channels (rgb or bgr), layout (nchw or nhwc), resize, crop and interpolation; and at the labels, "
        "which may be offset by one."
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value": float("nan")}, r"expect: expected a finite number, got nan"),
        ({"value": 1.0, "within": -1.0}, r"expect\.within: expected 0 or more, got -1\.0"),
        ({"value": 1.0, "within": float("inf")}, r"expect\.within: expected 0 or more, got inf"),
    ],
)
def test_impossible_expectations_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Expectation(**options)


def test_nothing_is_said_of_data_without_labels() -> None:
    evaluator = Evaluator(Engine(1), Subset.whole(Items(np.eye(3, dtype=np.float32), None)), [Kl(), TopK()])
    model = onnx_text("g (float[N,3] x) => (float[N,3] y) { y = Softmax <axis = 1> (x) }")
    assert chance_caution(SEEN, evaluator.against(evaluator.outputs(ir.from_proto(model)))) == []


class Scenes(Items):
    """Photos of a model that gives back its input: a box of class 0 each, 10 to 30; one of a class and place is true."""

    def __init__(self, found: int, items: int, kind: int) -> None:
        box = np.array([[10, 10, 30, 30, 0.9, 0]], np.float32)
        super().__init__(np.tile(box, (items, 1, 1)), [0] * items)
        self.found, self.kind = found, kind

    def label(self, index: int) -> Boxes:
        corners = np.array([[10.0, 10, 30, 30]]) + (0 if index < self.found else 30)
        size = (100, 100)
        return Boxes(corners, np.array([self.kind]), np.array([400.0]), np.array([False]), Frame(size, size))


@pytest.mark.parametrize(("found", "kind", "warned"), [(0, 0, True), (20, 1, True), (20, 0, False), (5, 0, False)])
def test_detector_that_finds_next_to_nothing_is_a_warning(found: int, kind: int, warned: bool) -> None:
    model = onnx_text("g (float[N,1,6] x) => (float[N,1,6] y) { y = Identity (x) }")
    evaluator = Evaluator(Engine(1), Subset.whole(Scenes(found, 20, kind)), [MeanAveragePrecision(NmsInside())])
    said = chance_caution(SEEN, evaluator.against(evaluator.outputs(ir.from_proto(model))))
    message = (
        "the float model's map is 0 over 20 items: it finds next to nothing of what is true, so what is lost against it says "
        "little. Look at how the data reaches the model: dataset.preprocess.mean, std and scale (the input 'x' holds -1 to 2, "
        "mean 0.5), channels (rgb or bgr), layout (nchw or nhwc), resize, crop and interpolation; and at the labels, which may "
        "be offset by one. The postprocess may be another family's, too."
    )
    assert said == ([message] if warned else [])
