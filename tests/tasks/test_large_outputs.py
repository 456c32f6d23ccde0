"""Outputs that are too large to be kept: the same figures and models, and a second run runs no model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from runner.app.options import AccAutoJob
from runner.app.parsing import deciding
from runner.evaluation import float_outputs
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from runner.store.store import Store
from tests.command import digests
from tests.models import save
from tests.tasks.task_cases import CASES
from tests.tasks.test_both_modes import job


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("metric", ["auto", "sqnr"])
@pytest.mark.parametrize("name", CASES)
def test_figures_and_models_do_not_depend_on_what_is_kept(
    name: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = case.graph()
    path = save(model, tmp_path / "net.onnx")
    options = [option for option in case.truth(tmp_path, model) if metric == "auto" or not option.startswith("metric=")]
    chosen = [] if metric == "auto" else [f"metric={metric}"]
    built = job("model=file", f"model.path={path}", *options, *chosen, "target_loss=1000")
    assert isinstance(built, AccAutoJob)

    def run(folder: str, store: Store) -> AccAutoResult:
        asked = AccAutoOptions(
            target_loss=1000,
            metric=deciding(built),
            correction=built.correction,
            sensitivity=built.sensitivity,
            calibration_count=8,
        )
        return acc_auto(path, built.dataset, tmp_path / folder, asked, store=store)

    kept = run("kept", Store(tmp_path / "cache", 10**8))
    monkeypatch.setattr(float_outputs, "MOST_BYTES", 1)
    store = Store(tmp_path / "other", 10**8)
    bounded = run("bounded", store)
    again = run("again", store)
    headlines = [result.comparison.headline for result in (kept, bounded, again)]
    assert headlines[0] == headlines[1] == headlines[2]
    assert [bounded.comparison.value(m, bounded.comparison.quantized) for m in bounded.comparison.metrics] == [
        kept.comparison.value(m, kept.comparison.quantized) for m in kept.comparison.metrics
    ]
    models = []
    for folder in ("kept", "bounded", "again"):
        models.append({name: made for name, made in digests(tmp_path / folder).items() if name.endswith(".onnx")})
    assert models[0] == models[1] == models[2] != {}
    assert (again.work.evaluations, again.work.items_scored, again.work.partial_evaluations) == (0, 0, 0)
