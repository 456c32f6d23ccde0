"""A truth that is no class, and results of which items have more or fewer: boxes, judged by classes of a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.dataset.item import ONLY_INPUT, Item, class_of, digest
from runner.evaluation.scores import EVALUATION, ITEM_SCORES, by_item, column, gathered
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.store.store import Store
from tests.data import normal_items
from tests.models import onnx_text, run_plain, save

BOXES = 3
X = normal_items(24, 2, 4, 4)
RNG = np.random.default_rng(5)


def detector():
    """A model that gives three boxes an item, as centre and size."""
    weights = np.random.default_rng(6)
    w = weights.normal(size=(4, 2, 3, 3)).astype(np.float32)
    v = weights.normal(size=(4 * 2 * 2, 4 * BOXES)).astype(np.float32)
    text = (
        "g (float[N,2,4,4] x) => (float[N,3,4] boxes) { [conv] c = Conv (x, w) r = Relu (c) f = Flatten (r) "
        "[head] h = MatMul (f, v) boxes = Reshape (h, s) }"
    )
    return onnx_text(text, w=w, v=v, s=np.array([-1, BOXES, 4]))


class Boxed:
    """Items whose truth is a list of boxes, with as many as there happen to be."""

    def __init__(self, truths: list[list[list[float]]]) -> None:
        self.truths = truths

    def __len__(self) -> int:
        return len(X)

    def item(self, index: int) -> Item:
        return Item({ONLY_INPUT: X[index]}, self.truths[index])

    def label(self, index: int) -> list[list[float]]:
        return self.truths[index]

    def name(self, index: int) -> str:
        return f"photo{index}"

    def fingerprint(self, index: int) -> str:
        return digest(X[index].tobytes())

    def describe(self) -> str:
        return "boxed"


@dataclass(frozen=True)
class NearestBoxes:
    """The median, over all true boxes of all items, of the distance to the nearest box found: no mean of items' means."""

    name: str = "distance"
    unit: str = "pixels"
    needs_labels: bool = True
    needs_classes: bool = False
    output: str | None = None

    def score(self, outputs, reference, label, classes) -> tuple[float, ...]:
        found = outputs["boxes"][0]
        return tuple(float(np.abs(found - np.asarray(box)).sum(axis=1).min()) for box in label)

    def aggregate(self, scores) -> float:
        return float(np.median(np.concatenate(list(scores))))

    def loss(self, float_scores, scores) -> float:
        return self.aggregate(scores) - self.aggregate(float_scores)

    def accepts(self, float_scores, scores, target) -> bool:
        return self.loss(float_scores, scores) < target


def test_boxes_decide_and_are_those_of_the_written_model_in_plain_onnxruntime(tmp_path: Path) -> None:
    path = save(detector(), tmp_path / "detector.onnx")
    outputs = np.concatenate([y for (y,) in run_plain(detector(), X, ["boxes"])])
    truths = [(outputs[i, : i % BOXES + 1] + RNG.normal(size=(i % BOXES + 1, 4))).tolist() for i in range(len(X))]
    options = AccAutoOptions(target_loss=100, metric=NearestBoxes(), calibration_count=8)
    result = acc_auto(path, Boxed(truths), tmp_path / "out", options, store=Store(tmp_path / "cache", 10**8))
    assert result.status == "met"

    def expected(found) -> float:
        distances = [np.abs(found[i] - np.asarray(box)).sum(axis=1).min() for i in range(len(X)) for box in truths[i]]
        return float(np.median(distances))

    written = onnx.load(result.folder.path(result.models[1]))
    quantized = np.concatenate([y for (y,) in run_plain(written, X, ["boxes"])])
    headline = result.comparison.headline
    assert headline.before == pytest.approx(expected(outputs), rel=1e-5)
    assert headline.after == pytest.approx(expected(quantized), rel=1e-5)
    assert result.comparison.interval is not None


def test_ragged_scores_come_back_from_the_store_as_they_were() -> None:
    rows = [(1.0, 2.0), (), (3.5,)]
    items = [{"boxes": row, "sqnr": (float(n), 1.0)} for n, row in enumerate(rows)]
    evaluation = gathered(items)
    again = EVALUATION.decode(EVALUATION.encode(evaluation))
    assert by_item(again) == by_item(evaluation) == items
    some = dict(enumerate(items))
    assert ITEM_SCORES.decode(ITEM_SCORES.encode(some)) == some
    assert column([(1.0,), (2.0,)]).shape == (2, 1)
    assert [row.tolist() for row in column(rows)[[2, 0]]] == [[3.5], [1.0, 2.0]]


def test_only_whole_numbers_are_classes() -> None:
    assert [class_of(truth) for truth in (3, np.int64(4), True, 2.0, "2", [1], None)] == [3, 4, *[None] * 5]
