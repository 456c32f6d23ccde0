"""Results come back from a store as they were."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from runner.evaluation.scores import EVALUATION, Evaluation
from runner.graph.layers import LeftAlone
from runner.graph.macs import LayerCost
from runner.lint.finding import Finding
from runner.modes.codecs import EXPONENTS, LOSS_CONTRIBUTIONS, NUMBER, OUTPUTS, PREDICTION, QUANTIZED, RANKING, WRITTEN
from runner.modes.files.write_models import ModelPair, Written
from runner.modes.recipe import CalibrationResult
from runner.modes.result import Prediction
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.search.end_to_end import LossContributions
from runner.search.plan import LayerGroup, Ranking
from runner.store.remembered import Codec
from runner.store.store import Store

KEY = "ab" + 62 * "0"


def back(codec: Codec, value: object, folder: Path) -> object:
    """Return a value after it was on disk."""
    Store(folder, 10_000_000).put(KEY, codec.encode(value))
    entry = Store(folder, 10_000_000, warn=pytest.fail).get(KEY)
    assert entry is not None
    return codec.decode(entry)


@pytest.mark.parametrize("number", [0.1, 0, 1e-300, float("inf")])
def test_number(number: float, tmp_path: Path) -> None:
    assert back(NUMBER, number, tmp_path) == number


def test_ranking_keeps_its_order(tmp_path: Path) -> None:
    ranking = Ranking((("b/c:0", 0.1 + 0.2), ("a", np.float64(0.5)), ("\u732b", 0.5)))
    assert back(RANKING, ranking, tmp_path) == ranking


def test_damage_keeps_its_units(tmp_path: Path) -> None:
    units = ((LayerGroup(("b/c:0", "a"), 40), 0.1 + 0.2), (LayerGroup(("\u732b",), 0), -1e-300))
    damage = LossContributions("noise", (3, 7), 0.7, units)
    got = back(LOSS_CONTRIBUTIONS, damage, tmp_path)
    assert got == damage and isinstance(got, LossContributions) and got.ranking == damage.ranking


def test_exponents(tmp_path: Path) -> None:
    exponents = {"b/c:0": (0, -3, 12), "a": (1,)}
    assert back(EXPONENTS, exponents, tmp_path) == exponents


@pytest.mark.parametrize("prediction", [None, Prediction("x/y.png", (3, 0.1), (4, 0.30000000000000004))], ids=str)
def test_prediction(prediction: Prediction | None, tmp_path: Path) -> None:
    got = back(PREDICTION, prediction, tmp_path)
    assert got is None if prediction is None else asdict(got) == asdict(prediction)


def test_written(tmp_path: Path) -> None:
    notes = (Finding("model", "a fixed batch", "N", "warning"), Finding("c:0", "int8", "uint8"))
    shapes = {"x": (1, 3, 4, 4), "ids": (1,)}
    for gap in (None, 0.25):
        written = Written(ModelPair("a_deploy.onnx", "a_fake.onnx"), 0.03125, gap, notes, shapes)
        assert asdict(back(WRITTEN, written, tmp_path)) == asdict(written)


@pytest.mark.parametrize("classifier", [True, False])
def test_evaluation_with_its_answers(classifier: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = {"sqnr": rng.normal(size=(5, 2)), "top1": np.ones((5, 1))}
    evaluation = Evaluation(scores, rng.normal(size=(5, 2)) if classifier else None)
    got = back(EVALUATION, evaluation, tmp_path)
    assert list(got.scores) == ["sqnr", "top1"]
    assert all(got.scores[name].tobytes() == array.tobytes() for name, array in scores.items())
    assert got.answers is None if not classifier else np.array_equal(got.answers, evaluation.answers)


@pytest.mark.parametrize("even", [True, False], ids=["of one shape", "of many shapes"])
def test_outputs_of_each_item(even: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = [
        {"boxes": rng.normal(size=(1, 3 if even else i, 4)).astype(np.float32), "count": np.array([[i]], np.int64)}
        for i in range(4)
    ]
    got = back(OUTPUTS, items, tmp_path)
    assert [list(item) for item in got] == [["boxes", "count"]] * 4
    for item, expected in zip(got, items, strict=True):
        for name, array in expected.items():
            assert (item[name].dtype, item[name].shape) == (array.dtype, array.shape)
            assert item[name].tobytes() == array.tobytes()


def test_quantized_form_with_its_costs(tmp_path: Path) -> None:
    params = ActivationParams(float(np.float32(0.1)), -128)
    layers = {
        "b": QuantizedLayer(
            LayerRecord(params, (0.5, 0.25)),
            np.arange(6, dtype=np.int8).reshape(2, 3),
            None,
            np.array([0.1, -1e-9, 0], np.float32),
        ),
        "a": QuantizedLayer(
            LayerRecord(params, (0.1,), skip_fusion=True, balance_factors=(2.0, 3.0)),
            np.ones((1, 1, 2, 2), np.int8),
            np.array([2**31 - 1], np.int32),
        ),
    }
    quantized = CalibrationResult(
        QuantizedLayers(layers, {"add:0": TensorRecord(params)}),
        (LeftAlone("c", "Conv", "its bias exceeds int32"),),
        {"b": LayerCost(10, 20), "a": LayerCost(2**40, 5)},
    )
    got = back(QUANTIZED, quantized, tmp_path)
    assert list(got.form.layers) == ["b", "a"]
    for name, layer in layers.items():
        mine = got.form.layers[name]
        assert mine.record == layer.record
        assert (mine.weight.dtype, mine.weight.tolist()) == (np.int8, layer.weight.tolist())
        assert (mine.bias is None) == (layer.bias is None)
        assert layer.bias is None or (mine.bias.dtype == np.int32 and np.array_equal(mine.bias, layer.bias))
        assert (mine.shift is None) == (layer.shift is None)
        assert layer.shift is None or (mine.shift.dtype == np.float32 and np.array_equal(mine.shift, layer.shift))
    assert got.form.tensors == quantized.form.tensors
    assert (got.impossible, got.costs) == (quantized.impossible, quantized.costs)
