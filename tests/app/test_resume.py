"""A job that is stopped in the middle, as a process: what it leaves, and how the same command goes on."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import read_events
from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.killing import artifacts, finish, killed, prepare, start, unsound

JOB = Path("outputs") / "acc_auto"


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a search of several plans."""
    return prepare(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def undisturbed(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """What the command leaves when nothing disturbs it, and how long that takes."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    begin = time.perf_counter()
    assert finish(arguments, cwd) == 0
    return artifacts(cwd / JOB), time.perf_counter() - begin


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def wait_for_trials(cwd: Path, count: int) -> None:
    """Return when the job has finished so many plans."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if sum(event["event"] == "TrialFinished" for event in read_events(cwd / JOB)) >= count:
            return
        time.sleep(0.01)
    pytest.fail("the job made no progress in a minute")


def test_killed_twice_it_ends_as_undisturbed(
    arguments: list[str], undisturbed: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    rng = random.Random(5)
    for _ in range(2):
        killed(arguments, tmp_path, rng.uniform(0.5, 0.9) * seconds)
        assert unsound(tmp_path / JOB) == []
    assert finish(arguments, tmp_path) == 0
    assert artifacts(tmp_path / JOB) == expected and unsound(tmp_path / JOB) == []


def models_run(summary: dict[str, Any]) -> int:
    """Return how many models a job ran, over all items or some."""
    return int(summary["evaluations"]["full"] + summary["evaluations"]["partial"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_it_writes_the_best_plan_so_far_and_then_ends_as_undisturbed(
    arguments: list[str], undisturbed: tuple[dict[str, str], float], tmp_path: Path, number: signal.Signals
) -> None:
    process = start([*arguments, "engine.callers=1"], tmp_path)
    wait_for_trials(tmp_path, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from the last finished plan" in err and "Traceback" not in err
    summary = read_json(tmp_path / JOB / "summary.json")
    assert (summary["status"], summary["complete"]) == ("interrupted", False)
    manifest = read_manifest(tmp_path / JOB)
    assert unsound(tmp_path / JOB) == [] and manifest.keys() - {"summary.json"} == artifacts(tmp_path / JOB).keys()
    *_, last = read_events(tmp_path / JOB)
    assert (last["event"], last["status"], last["exit_status"]) == ("JobFinished", "interrupted", 130)
    tried = models_run(summary)
    assert finish(arguments, tmp_path) == 0
    resumed = models_run(read_json(tmp_path / JOB / "summary.json"))
    trials = len(read_json(tmp_path / JOB / "amct_log" / "accuracy_based_auto_calibration_record.json"))
    # The float model and every plan once; a plan that was settled early before and is the result now, a second time.
    assert 1 + trials <= tried + resumed <= 2 + trials
    assert artifacts(tmp_path / JOB) == undisturbed[0]


def test_second_command_evaluates_no_model_and_without_a_cache_every_model(
    tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    counts = {}
    for cache in ("local", "local", "refresh", "local", "none"):
        assert run(*tiny.options(cache=cache)).status == 0
        counts.setdefault(cache, []).append(read_json(tmp_path / JOB / "summary.json")["evaluations"])
    full, none = {"full": 2, "partial": 0, "items": 80}, {"full": 0, "partial": 0, "items": 0}
    assert counts == {"local": [full, none, none], "refresh": [full], "none": [full]}


def test_without_a_cache_nothing_is_kept(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    assert run(*tiny.options(cache="none")).status == 0
    assert not (tmp_path / "outputs" / "cache").exists()


def test_corrupted_cache_is_warned_of_and_made_again(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    assert run(*tiny.options()).status == 0
    before = artifacts(tmp_path / JOB)
    entries = [path for path in (tmp_path / "outputs" / "cache").rglob("*") if path.is_file()]
    for path in entries:
        path.write_bytes(path.read_bytes()[:-1])
    ended = run(*tiny.options())
    assert ended.status == 0 and ended.err.count("is corrupted; it is removed and made again.") == len(entries)
    assert artifacts(tmp_path / JOB) == before
    assert run(*tiny.options()).err.count("corrupted") == 0


def test_sweep_over_targets_evaluates_the_float_model_and_each_plan_once(
    tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    ended = run("-m", *tiny.options(target_loss="80,90,95"))
    assert ended.status == 0, ended.err
    summaries = [read_json(p) for p in sorted((tmp_path / "outputs" / "sweeps").rglob("summary.json"))]
    assert sorted(s["evaluations"]["full"] for s in summaries) == [0, 0, 2]


def test_spent_budget_has_its_status_and_says_so(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    options = tiny.options(target_loss=0, metric="kl", strategy="linear")
    ended = run(*options, "budget.evaluations=3")
    assert ended.status == 6, ended.err
    summary = read_json(tmp_path / JOB / "summary.json")
    assert (summary["status"], summary["complete"], summary["target_met"]) == ("budget", False, False)
    assert ended.out.startswith("the budget is spent; the best plan so far: net on data, kl 0 -> ")
    assert "the same command with a larger budget.minutes or budget.evaluations goes on from here" in ended.out
    assert summary["evaluations"]["full"] == 3
    assert set(read_manifest(tmp_path / JOB)) == artifacts(tmp_path / JOB).keys() | {"summary.json"}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("budget.minutes=0", "budget.minutes: expected more than 0, or null for no limit, got 0.0."),
        ("budget.evaluations=1", "budget.evaluations: expected 2 or more (the float model and the all-int8 plan are"),
        ("cache.max_gb=0", "cache.max_gb: expected more than 0, got 0.0. cache=none keeps nothing."),
        ("cache=off", "cache=off: no such option. Available: local, none, refresh."),
    ],
)
def test_wrong_limit_is_refused(tiny: Tiny, run: Command, option: str, says: str) -> None:
    ended = run(*tiny.options(), option)
    assert ended.status == 2 and says in ended.err


def test_job_that_fails_after_its_first_plan_leaves_no_pair_that_counts(
    tiny: Tiny, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.errors import VerificationError
    from runner.targets.ascend import target

    def faulty(*args: object) -> None:
        raise VerificationError("1 fault")

    monkeypatch.setattr(target, "check", faulty)
    assert run(*tiny.options()).status == 4
    assert read_manifest(tmp_path / JOB) == {}
    assert list((tmp_path / JOB).rglob("*.onnx")) == []
