"""Mean absolute error: by plain loops, what is not annotated, answers that are none, truth from a file."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from runner.dataset.item import dataset_fingerprint
from runner.dataset.npz import NpzDataset
from runner.errors import ConfigError, DatasetError
from runner.evaluation.metric import ChecksOutputs, KnowsTruth, MoreFigures, Resampled, TellsChanges, needs_reference
from runner.evaluation.scores import column
from runner.tasks.regression.mean_absolute_error import MeanAbsoluteError

METRIC = MeanAbsoluteError()


def random_pairs(items, seed, *, noise=0.3):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(items):
        true = {"places": rng.normal(size=(5, 2)), "depth": rng.normal(size=())}
        true["places"][rng.random((5, 2)) < 0.2] = math.nan
        shifted = {name: np.nan_to_num(array) + rng.normal(0, noise, array.shape) for name, array in true.items()}
        pairs.append((true, {name: array[np.newaxis].astype(np.float32) for name, array in shifted.items()}))
    return pairs


def rows(pairs, metric=METRIC):
    return column([metric.score(outputs, {}, true, None) for true, outputs in pairs])


def by_loops(pairs, names=("places", "depth")):
    total, count = 0.0, 0
    for true, outputs in pairs:
        for name in names:
            for known, found in zip(np.ravel(true[name]), np.ravel(outputs[name]), strict=True):
                if not math.isnan(known):
                    total, count = total + abs(float(found) - float(known)), count + 1
    return total / count


def test_error_is_that_of_plain_loops() -> None:
    pairs = random_pairs(20, 0)
    assert METRIC.aggregate(rows(pairs)) == pytest.approx(by_loops(pairs))
    assert METRIC.figures(rows(pairs)) == {}
    one = MeanAbsoluteError(outputs=["depth"])
    assert one.aggregate(rows(pairs, one)) == pytest.approx(by_loops(pairs, ("depth",)))
    both = MeanAbsoluteError(outputs=["depth", "places"])
    assert both.figures(rows(pairs, both)) == {
        "mae_depth": pytest.approx(by_loops(pairs, ("depth",))),
        "mae_places": pytest.approx(by_loops(pairs, ("places",))),
    }


def test_row_holds_sums_and_counts_of_each_output() -> None:
    truth = {"a": np.array([1.0, math.nan, 3.0]), "b": np.array(5, np.int64)}
    assert METRIC.score({"b": np.array([[4.0]]), "a": np.array([[2.0, 9.0, 1.0]])}, {}, truth, None) == (
        3.0,
        2.0,
        1.0,
        1.0,
    )


def test_losses_and_losses_over_draws() -> None:
    before, after = rows(random_pairs(15, 1)), rows(random_pairs(15, 1, noise=0.5))
    assert METRIC.loss(before, after) == pytest.approx(METRIC.aggregate(after) - METRIC.aggregate(before))
    assert METRIC.loss(after, before) < 0 and METRIC.loss(before, before) == 0
    draws = np.random.default_rng(0).integers(0, 15, (6, 15))
    expected = [METRIC.loss(before[draw], after[draw]) for draw in draws]
    assert METRIC.resampled_losses(before, after, draws) == pytest.approx(expected)
    loss = METRIC.loss(before, after)
    assert METRIC.accepts(before, after, loss + 1e-6) and not METRIC.accepts(before, after, loss - 1e-6)


def test_answers_that_are_no_numbers_are_infinitely_wrong_without_a_warning() -> None:
    truth = {"a": np.array([1.0, math.nan])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [
            METRIC.score({"a": np.array(each)}, {}, truth, None)
            for each in ([math.nan, 1], [math.inf, 1], [1.0], [2, math.nan])
        ]
        assert found == [(math.inf, 1.0), (math.inf, 1.0), (math.inf, 1.0), (1.0, 1.0)]
        right, wrong = column([found[3]]), column([found[0]])
        assert METRIC.loss(right, wrong) == math.inf and METRIC.loss(wrong, wrong) == 0.0
        assert not METRIC.accepts(right, wrong, 1e9)
        assert METRIC.resampled_losses(wrong, wrong, np.zeros((2, 1), np.int64)).tolist() == [0.0, 0.0]
        nothing = column([METRIC.score({"a": np.zeros(2)}, {}, {"a": np.full(2, math.nan)}, None)])
        assert math.isnan(METRIC.aggregate(nothing)) and METRIC.loss(nothing, nothing) == 0.0


def test_changes_are_told() -> None:
    before, after = np.array([3.0, 2.0, 1.0, 2.0]), np.array([4.0, 2.0, 1.0, 2.0])
    assert METRIC.cost(before, after) == pytest.approx(0.25) and METRIC.cost(before, before) is None
    assert METRIC.words(before) == {"mae": "1", "values": "4"}


def test_what_the_metric_says_of_itself_and_refuses() -> None:
    assert all(isinstance(METRIC, each) for each in (ChecksOutputs, KnowsTruth, MoreFigures, Resampled, TellsChanges))
    assert not needs_reference(METRIC)
    truth = {"a": np.zeros((2, 3))}
    assert METRIC.why_not(truth) is None
    assert "dataset.truth={output: array}" in (METRIC.why_not(3) or "") and METRIC.why_not({})
    assert "among them 'b' of metric.outputs" in (MeanAbsoluteError(outputs=["b"]).why_not(truth) or "")
    METRIC.check_outputs({"a": np.zeros((1, 3, 2))}, truth)
    with pytest.raises(ConfigError, match=r"the truth is of an output 'a' \[2, 3\]; the model has 'b' \[1, 6\]"):
        METRIC.check_outputs({"b": np.zeros((1, 6))}, truth)
    with pytest.raises(
        ConfigError, match=r"'a' has the shape \[1, 5\]; its truth has \[2, 3\], expected as many values"
    ):
        METRIC.check_outputs({"a": np.zeros((1, 5))}, truth)
    for wrong in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match=r"metric\.outputs: expected null or names of outputs, each once"):
            MeanAbsoluteError(outputs=wrong)


def test_truth_of_outputs_comes_from_the_file(tmp_path: Path) -> None:
    x, places, depth = np.zeros((4, 3)), np.arange(24.0).reshape(4, 3, 2), np.arange(4)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(4), k=places, z=depth, short=places[:3], words=np.array(["a"] * 4))
    file = str(tmp_path / "d.npz")
    data = NpzDataset(file, truth={"places": "k", "depth": "z"})
    label = data.label(2)
    assert {name: array.tolist() for name, array in label.items()} == {"places": places[2].tolist(), "depth": 2}
    assert data.item(2).label["places"].tolist() == places[2].tolist()
    assert dataset_fingerprint(data, [0, 1]) != dataset_fingerprint(NpzDataset(file), [0, 1])
    assert METRIC.score({"places": places[2:3] + 1, "depth": np.array([2.0])}, {}, label, None) == (6.0, 6.0, 0.0, 1.0)
    for truth, message in (
        ({"a": "none"}, r"has no array 'none'; it holds x, y, k, z"),
        ({"a": "short"}, r"d\.npz: short has 3 items; expected 4, as the inputs have"),
        ({"a": "words"}, r"d\.npz: words is <U1; expected numbers"),
    ):
        with pytest.raises(DatasetError, match=message):
            NpzDataset(file, truth=truth)
