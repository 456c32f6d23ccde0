"""A study's trials on disk: who takes which, what is told, what a killed process leaves."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from runner.errors import ConfigError
from runner.tune.presence import Presence, present
from runner.tune.read_space import read_space
from runner.tune.study import JOURNAL, Plan, Study
from runner.tune.trial import Outcome, Trial, best_first, front

pytest.importorskip("optuna", reason="needs the extra 'tune'")
SPACE = {
    "a": ["p", "q", "r", "s"],
    "n": {"int": [0, 20]},
    "f": {"float": [0, 1], "when": {"a": ["p", "q"]}},
}
FEW = {"a": ["p", "q"], "n": {"int": [0, 2]}}


def plan(space: dict[str, Any] = SPACE, **changes: Any) -> Plan:
    made = Plan("s", read_space(space), ("loss",), 25, "tpe", 0, 4, {"target_loss": 0.5})
    return replace(made, **changes)


def cost(trial: Any) -> float:
    """Return what a setting costs: least at a=q, n=13, f=0.25."""
    setting = trial.setting
    return abs(int(setting["n"]) - 13) / 13 + "qprs".index(setting["a"]) + abs(float(setting.get("f", 1)) - 0.25)


@contextmanager
def opened(folder: Path, made: Plan) -> Iterator[Study]:
    with present(folder / "workers") as presence:
        yield Study(folder, made, presence)


def run(study: Study, most: int = 1000, costs: Callable[[Any], list[float]] = lambda trial: [cost(trial)]) -> None:
    """Take and tell trials until there are no more, or so many."""
    for _ in range(most):
        taken = study.take()
        if taken is None:
            return
        study.tell(taken.number, Outcome(0), costs(taken))


def told(study: Study) -> list[tuple[int, Any, str, tuple[float, ...]]]:
    return [(trial.number, dict(trial.setting), trial.state, trial.values) for trial in study.trials()]


def abandon(folder: Path, made: Plan, count: int) -> None:
    """Take trials in a process that then is killed."""
    code = f"""
import os, signal, pickle, sys
from pathlib import Path
from runner.tune.presence import present
from runner.tune.study import Study
with present(Path({str(folder / "workers")!r})) as presence:
    study = Study(Path({str(folder)!r}), pickle.load(sys.stdin.buffer), presence)
    for _ in range({count}):
        study.take()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[2]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"} | {
        "PYTHONPATH": str(root)
    }
    ended = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(made), env=environment, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()


def test_optimum_is_found_and_random_is_further_away(tmp_path: Path) -> None:
    best = {}
    for name in ("tpe", "random"):
        with opened(tmp_path / name, plan(sampler=name, trials=40)) as study:
            run(study)
            first = best_first(study.trials())[0]
            best[name] = first.values[0]
    assert best["tpe"] < 0.2
    assert best["tpe"] < best["random"]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_study_that_goes_on_ends_as_one_in_one_go(sampler: Any, tmp_path: Path) -> None:
    made = plan(sampler=sampler)
    with opened(tmp_path / "whole", made) as study:
        run(study)
        whole = told(study)
    for count in (7, 11):
        with opened(tmp_path / "parts", made) as study:
            run(study, count)
    abandon(tmp_path / "parts", made, 1)
    with opened(tmp_path / "parts", replace(made, trials=25)) as study:
        run(study)
        assert told(study) == whole
    assert sum(one[2] == "done" for one in whole) == 25


def test_trial_of_a_killed_process_is_taken_up_again_and_never_counts_as_a_result(tmp_path: Path) -> None:
    made = plan()
    abandon(tmp_path, made, 2)
    with opened(tmp_path, made) as study:
        left = study.trials()
        assert [(trial.state, trial.values) for trial in left] == [("running", ())] * 2
        again = [study.take(), study.take(), study.take()]
        assert [(one.number, one.again) for one in again if one] == [(0, True), (1, True), (2, False)]
        assert [dict(one.setting) for one in again if one][:2] == [dict(trial.setting) for trial in left]


def test_trial_that_a_living_process_runs_is_left_to_it(tmp_path: Path) -> None:
    with opened(tmp_path, plan()) as one, opened(tmp_path, plan()) as other:
        numbers = [study.take().number for study in (one, other, one)]  # type: ignore[union-attr]
        assert numbers == [0, 1, 2]


def test_two_that_take_in_turn_try_no_more_than_is_wanted(tmp_path: Path) -> None:
    made = plan(trials=9)
    with opened(tmp_path, made) as one, opened(tmp_path, made) as other:
        taken = [study.take() for _ in range(6) for study in (one, other)]
        numbers = [trial.number for trial in taken if trial is not None]
        assert numbers == list(range(9))


def test_more_trials_go_on(tmp_path: Path) -> None:
    with opened(tmp_path, plan(trials=5)) as study:
        run(study)
        assert len(study.trials()) == 5
    with opened(tmp_path, plan(trials=8)) as study:
        run(study)
        assert sum(trial.state == "done" for trial in study.trials()) == 8


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "nsga2"])
def test_setting_is_not_run_twice_and_a_small_space_ends(sampler: Any, tmp_path: Path) -> None:
    with opened(tmp_path, plan(FEW, sampler=sampler, trials=50)) as study:
        run(study)
        trials = study.trials()
    done = [trial for trial in trials if trial.state == "done"]
    assert len({json.dumps(dict(trial.setting)) for trial in done}) == len(done) == 6
    for trial in trials:
        if trial.state == "repeated":
            assert trial.same_as is not None and trial.same_as < trial.number
            assert trial.setting == trials[trial.same_as].setting and trial.values == trials[trial.same_as].values
    if sampler == "grid":
        assert [dict(trial.setting) for trial in trials] == list(read_space(FEW).settings())


def test_failed_trial_counts_and_is_no_result(tmp_path: Path) -> None:
    with opened(tmp_path, plan(FEW, sampler="grid", trials=3)) as study:
        for reason in ("", "broken", ""):
            taken = study.take()
            assert taken is not None
            study.tell(taken.number, Outcome(1 if reason else 0, reason), [] if reason else [1.0])
        assert study.take() is None
        assert [trial.state for trial in study.trials()] == ["done", "failed", "done"]
        assert study.trials()[1].outcome == Outcome(1, "broken")
        assert [trial.number for trial in best_first(study.trials())] == [0, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": SPACE | {"n": {"int": [0, 21]}}}, "was made with another space (n)."),
        ({"space": {"a": [1]}}, "another space (a, f, n)"),
        ({"objectives": ("kl",)}, "was made with objective ['loss'] instead of ['kl']."),
        ({"seed": 3}, "was made with seed 0 instead of 3."),
        ({"configuration": {"target_loss": 0.5, "seed": 1}}, "another configuration (seed)."),
        ({"sampler": "random"}, "sampler tpe instead of random"),
    ],
)
def test_other_study_of_that_name_is_refused_in_a_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with opened(tmp_path, plan()) as study:
        run(study, 2)
    with pytest.raises(ConfigError) as refused, opened(tmp_path, plan(**changes)):
        pass
    assert message in str(refused.value)
    assert "Give this one a name of its own, tune.study=NAME, or remove that folder." in str(refused.value)
    with opened(tmp_path, plan(trials=99)) as study:
        assert len(study.trials()) == 2


def test_half_a_line_at_the_journals_end_costs_that_line_alone(tmp_path: Path) -> None:
    with opened(tmp_path, plan()) as study:
        run(study, 4)
        before = told(study)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker')
    with opened(tmp_path, plan()) as study:
        assert told(study) == before
        run(study, 3)
    with opened(tmp_path, plan()) as study:
        assert len(study.trials()) == 7


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    made = plan({"n": {"int": [0, 20]}}, objectives=("loss", "kl"), sampler="nsga2", trials=21)
    with opened(tmp_path, made) as study:
        run(study, costs=lambda taken: [abs(int(taken.setting["n"]) - 5), abs(int(taken.setting["n"]) - 9)])
        trials = study.trials()
    # Between the two optima what one objective wins the other loses.
    assert [trial.setting["n"] for trial in front(trials)] == ["5", "6", "7", "8", "9"]


def test_front_keeps_the_earliest_of_equal_trials() -> None:
    points = [(1, 3), (2, 2), (2, 2), (3, 1), (3, 3), (1, 4)]
    trials = [Trial(number, {}, "done", values) for number, values in enumerate(points)]
    assert [trial.number for trial in front(trials)] == [0, 1, 3]


def test_importance_is_of_what_decides(tmp_path: Path) -> None:
    with opened(
        tmp_path, plan({"a": ["p", "q", "r", "s"], "n": {"int": [0, 20]}}, sampler="random", trials=60)
    ) as study:
        assert study.importances() == {}
        run(study, costs=lambda taken: ["pqrs".index(taken.setting["a"])])
        shares = study.importances()
    assert shares["a"] > 0.8 and sum(shares.values()) == pytest.approx(1)


def test_process_of_another_machine_is_known_by_the_time_of_its_file(tmp_path: Path) -> None:
    with present(tmp_path) as presence:
        other = tmp_path / "elsewhere-12-x.worker"
        other.touch()
        assert presence.is_alive(other.name)
        os.utime(other, (1, 1))
        assert not presence.is_alive(other.name)
        assert not presence.is_alive("elsewhere-13-gone.worker")


def test_process_lives_while_what_it_began_holds_its_lock(tmp_path: Path) -> None:
    with present(tmp_path) as presence:
        host = presence.name.partition("-")[0]
        gone = Presence(tmp_path, f"{host}-4194304-x.worker")
        assert not presence.is_alive(gone.name) and not presence.is_ending(gone.name)
        with FileLock(gone.trial_lock(3)):
            assert presence.is_alive(gone.name) and presence.is_ending(gone.name)
        assert not presence.is_alive(gone.name)
        assert not presence.is_ending(presence.name)


def test_presence_goes_with_the_process(tmp_path: Path) -> None:
    with present(tmp_path) as one:
        name = one.name
        with present(tmp_path) as other:
            assert other.is_alive(name) and one.is_alive(other.name)
    assert list(tmp_path.iterdir()) == []
    assert isinstance(one, Presence)
