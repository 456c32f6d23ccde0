"""Which of two figures is the better one, whatever the metric calls good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.dataset.image_folder import ImageFolder
from runner.dataset.photos import Photos
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.accuracy import TopK
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric, Scores
from runner.evaluation.scorer import Scorer
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.other_preprocessing import better
from tests.data import random_pixels, write_image
from tests.models import model

# Class 0 where the photo's values reach beyond 1, class 1 where they do not.
_NETWORK = """net (float[N, 3, 4, 4] x) => (float[N, 2] scores) {
    top = ReduceMax <axes = [1, 2, 3], keepdims = 0> (x)
    column = Unsqueeze <axes = [1]> (top)
    low = Sub (two, column)
    scores = Concat <axis = 1> (column, low)
}"""


class Misses(TopK):
    """The share of answers that are wrong: a small figure is a good one."""

    @property
    def name(self) -> str:
        return "misses"

    def aggregate(self, scores: Scores) -> float:
        return 100.0 - super().aggregate(scores)


def scorer_of(metric: Metric, dataset: Photos, network: object) -> Scorer:
    evaluator = Evaluator(Engine(1), Subset.whole(dataset), [metric], output_kind="logits")
    return evaluator.against(evaluator.outputs(network))  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", [TopK(), Misses()], ids=["hits", "misses"])
@pytest.mark.parametrize("right_now", [False, True])
def test_the_better_way_is_named_and_a_worse_one_never(metric: Metric, right_now: bool, tmp_path: Path) -> None:
    for at in range(12):
        write_image(tmp_path / f"{at:02}.png", random_pixels(4, 4, seed=at))
    (tmp_path / "labels.txt").write_text("".join(f"{at:02}.png 1\n" for at in range(12)), encoding="utf-8")
    network = model(_NETWORK, opset=11, two=np.array([[2.0]], np.float32))
    unit, raw = ImagePreprocess(scale=1 / 512), ImagePreprocess()
    now = unit if right_now else raw
    dataset = ImageFolder(str(tmp_path), str(tmp_path / "labels.txt"), now)
    case = Examined(Engine(1), {"unit": unit, "raw": replace(raw, channels="rgb")})
    case.dataset = dataset
    case.source = type("Source", (), {"graph": network})()  # type: ignore[assignment]
    found = better(case, scorer_of(metric, dataset, network), lambda other: scorer_of(metric, other, network))  # type: ignore[arg-type]
    if right_now:
        assert found is None
    else:
        assert found is not None
        assert found.typed == "dataset/preprocess=unit"
        assert found.figure == (100.0 if metric.name == "top1" else 0.0)
