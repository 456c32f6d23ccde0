"""What a job returns to Hydra, as a sweeper of a plugin gets it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper

from tests.app.conftest import Command, Tiny


class Kept(Sweeper):
    """Launches one job of the given overrides and keeps what it returns."""

    values: list[Any] = []  # noqa: RUF012 - Hydra makes the sweeper

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        done: list[JobReturn] = list(self.launcher.launch([arguments], initial_job_idx=0))
        Kept.values += [one.return_value for one in done]


@pytest.fixture
def returns(monkeypatch: pytest.MonkeyPatch, run: Command) -> Command:
    """Run one job under a sweeper that keeps what it returns."""
    monkeypatch.setattr(Plugins.instance(), "instantiate_sweeper", _sweeper, raising=True)
    monkeypatch.setattr(Kept, "values", [])

    def started(*arguments: str) -> Any:
        run("-m", *arguments)
        return Kept.values[-1]

    return started


def _sweeper(*, hydra_context: Any, task_function: Any, config: Any) -> Kept:
    kept = Kept()
    kept.setup(hydra_context=hydra_context, task_function=task_function, config=config)
    return kept


def summary_of(root: Path) -> dict[str, Any]:
    (path,) = root.glob("outputs/sweeps/*/*/summary.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_job_returns_its_loss(returns: Command, tiny: Tiny, tmp_path: Path) -> None:
    value = returns(*tiny.options())
    assert value == summary_of(tmp_path)["loss"]


def test_job_returns_the_figures_that_are_asked_for(returns: Command, tiny: Tiny, tmp_path: Path) -> None:
    value = returns(*tiny.options(tune__objective="[kl,noise]"))
    summary = summary_of(tmp_path)
    assert value == [summary["kl"], -summary["sqnr_db"]]


def test_missed_target_returns_more_than_a_met_one(returns: Command, tiny: Tiny, tmp_path: Path) -> None:
    missed = returns(*tiny.options(metric="kl", target_loss=1e-12, tune__objective="macs_float", budget__evaluations=3))
    summary = summary_of(tmp_path)
    assert not summary["target_met"]
    assert missed == 2.0 + (summary["loss"] - 1e-12)


def test_failed_job_returns_infinity(returns: Command, tiny: Tiny) -> None:
    assert returns(*tiny.options(calibration__count=-3)) == math.inf
    assert returns(*tiny.options(tune__objective="los")) == math.inf


def test_unknown_objective_is_refused_as_an_option(run: Command, tiny: Tiny) -> None:
    ended = run(*tiny.options(tune__objective="los"))
    assert ended.status == 2
    assert "tune.objective: no such objective 'los'. Did you mean 'loss'?" in ended.err


def test_objective_changes_neither_digest_nor_status(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    digests = set()
    for name in ("loss", "kl"):
        assert run(*tiny.options(tune__objective=name)).status == 0
        digests.add(json.loads((tmp_path / "outputs/acc_auto/summary.json").read_text())["config_sha256"])
    assert len(digests) == 1
