"""What jobs see inside their model: in both modes, on both targets, and where something comes between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.calibration.minmax import MinMax
from runner.dataset.npz import NpzDataset
from runner.errors import ModelError
from runner.evaluation.distance import Sqnr
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.result import AccAutoResult, JobResult
from runner.modes.steps import look_inside
from runner.search.budget import Budget
from runner.targets.qdq.target import Qdq
from tests.data import normal_items
from tests.models import chain, onnx_text, save
from tests.told import page_of

X = normal_items(100, 3, 4, 4)
RNG = np.random.default_rng(0)
# Two outputs, items of any length.
DYNAMIC = onnx_text(
    "g (float[N,3,L] x) => (float[N,4,M] y, float[N,2,K] z) { y = Conv (x, w)\n r = Relu (y)\n z = Conv (r, v) }",
    w=RNG.normal(size=(4, 3, 3)).astype(np.float32),
    v=RNG.normal(size=(2, 4, 1)).astype(np.float32),
)


def job(folder: Path, model: Any = None, x: Any = X, **options: Any) -> AccAutoResult:
    np.savez(folder / "data.npz", x=x)
    usual = {"target_loss": 60.5, "metric": Sqnr(), "observer": MinMax(), "calibration_count": 8}
    path = save(chain(4) if model is None else model, folder / "net.onnx")
    return acc_auto(path, NpzDataset(str(folder / "data.npz")), folder / "out", AccAutoOptions(**(usual | options)))


def shown(result: JobResult) -> bool:
    return "Noise along the network" in page_of(result)


@pytest.mark.parametrize("options", [{}, {"target": Qdq()}], ids=["ascend", "qdq"])
def test_every_layer_is_seen_with_weights_activations_and_both(options: dict[str, Any], tmp_path: Path) -> None:
    result = job(tmp_path, **options)
    seen = result.noise
    assert seen is not None and seen.layers == tuple(layer.name for layer in result.found.layers)
    assert seen.items == 2 and set(seen.parts) == {"weights", "activations", "both"}
    assert all((noise > 0).all() and (noise < 0.1).all() for noise in seen.parts.values())
    assert len(seen.spreads) == 4 and shown(result)
    assert "What the worst layers round" in page_of(result)


def test_noise_at_the_only_output_is_what_the_metric_measures(tmp_path: Path) -> None:
    model = onnx_text(
        "g (float[N,3,4,4] x) => (float[N,2,2,2] z) { y = Conv (x, w)\n r = Relu (y)\n z = Conv (r, v) }",
        w=RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
        v=RNG.normal(size=(2, 4, 1, 1)).astype(np.float32),
    )
    result = job(tmp_path, model, X[:1], calibration_count=1)
    assert result.noise is not None
    last = -10 * np.log10(result.noise.parts["both"][-1])
    (sums,) = result.comparison.output_sums.values()
    assert last == pytest.approx(10 * np.log10(sums.signal / sums.noise), abs=0.01)


def test_model_of_several_outputs_and_any_length_is_looked_into(tmp_path: Path) -> None:
    seen = job(tmp_path, DYNAMIC, normal_items(6, 3, 9), calibration_count=4).noise
    assert seen is not None and seen.items == 1 and len(seen.layers) == 2
    assert all((noise > 0).all() for noise in seen.parts.values())


def test_conversion_shows_both_together_and_says_why(tmp_path: Path, root: Path) -> None:
    np.savez(tmp_path / "x.npz", x=normal_items(4, 3, 32, 32))
    model = root / "model" / "mobilenet_v2_digits_qat.onnx"
    result = convert_qat(model, NpzDataset(str(tmp_path / "x.npz")), tmp_path / "out")
    assert result.noise is not None and set(result.noise.parts) == {"both"}
    assert "they were trained together" in page_of(result)


def test_model_that_cannot_be_looked_into_costs_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*args: Any) -> None:
        raise ModelError("no such tensor")

    monkeypatch.setattr(look_inside, "noise_along", refused)
    result = job(tmp_path)
    assert (result.status, result.noise, shown(result)) == ("met", None, False)
    assert "no picture of the noise along the network: no such tensor" in caplog.text


def test_interruption_while_looking_leaves_every_file_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look_inside, "noise_along", interrupted)
    result = job(tmp_path)
    assert (result.status, result.noise, shown(result)) == ("interrupted", None, False)
    assert len(result.models) == 2 and all(result.folder.path(name).exists() for name in result.models)


def test_job_whose_budget_is_spent_looks_at_nothing_more(tmp_path: Path) -> None:
    assert job(tmp_path, target_loss=0.0, budget=Budget(evaluations=2)).noise is None
