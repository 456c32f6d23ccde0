"""``python -m runner.tune`` as people use it: trials as jobs, killed and gone on with, and what is refused."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import read_events
from tests.app.conftest import Tiny
from tests.command import command
from tests.tune.conftest import Command, begin, finish, options, study, told

pytest.importorskip("optuna", reason="needs the extra 'tune'")
SPACE = ["tune.space.observer=[minmax,ifmr,hfmg]", "tune.space.calibration.count=[2,12]"]


@pytest.fixture(scope="module")
def grid(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of each setting of a small space, and so its known optimum."""
    cwd = tmp_path_factory.mktemp("grid")
    ended = study(cwd, *options(tiny, *SPACE, "tune.sampler=grid", "tune.trials=50", "tune.jobs=2"))
    assert ended.status == 0, ended.err
    (cwd / "out").write_text(ended.out)
    (cwd / "err").write_text(ended.err)
    return cwd


def test_best_of_all_settings_is_found_and_each_is_a_job(grid: Path) -> None:
    found = told(grid)
    assert found["trials"] == {"wanted": 50, "done": 6, "failed": 0, "repeated": 0, "running": 0}
    settings = {(t["setting"]["observer"], t["setting"]["calibration.count"]) for t in found["all"]}
    assert settings == {(observer, count) for observer in ("minmax", "ifmr", "hfmg") for count in ("2", "12")}
    values = {}
    for trial in found["all"]:
        summary = json.loads((Path(trial["folder"]) / "summary.json").read_text())
        assert trial["values"] == {"kl": summary["kl"]}
        values[trial["trial"]] = summary["kl"]
    (best,) = found["best"]
    assert best["trial"] == min(values, key=lambda number: (values[number], number))


def test_each_trial_is_told_and_the_table_has_room(grid: Path) -> None:
    lines = (grid / "err").read_text().splitlines()
    assert sum(line.startswith("trial ") and " of 50) in " in line and "kl 0.000" in line for line in lines) == 6
    out = (grid / "out").read_text()
    rows = [line for line in out.splitlines() if "observer=" in line and not line.startswith("  python")]
    assert len(rows) == 6 and all(len(row) <= 80 for row in rows)
    assert rows[0].split()[0] == f"*{told(grid)['best'][0]['trial']}"
    assert "6 settings tried of the 6 that there are." in out


def test_trial_is_tagged_with_its_study_and_named_by_what_it_tries(grid: Path) -> None:
    for trial in told(grid)["all"]:
        started = next(event for event in read_events(Path(trial["folder"])) if event["event"] == "JobStarted")
        tags = started["tags"]
        assert (tags["tune.study"], tags["tune.trial"]) == ("s", str(trial["trial"]))
        assert tags["varied"] == ", ".join(f"{key}={value}" for key, value in trial["setting"].items())
        assert not [name for name in started["params"] if name.startswith("tune")]


def test_spreadsheet_has_a_row_a_trial(grid: Path) -> None:
    with (grid / "outputs/tune/s/tune.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found = told(grid)["all"]
    assert [(int(r["trial"]), r["state"], float(r["kl"]), r["observer"], r["calibration.count"]) for r in rows] == [
        (t["trial"], "done", t["values"]["kl"], t["setting"]["observer"], t["setting"]["calibration.count"])
        for t in found
    ]


def test_both_commands_for_the_best_give_its_result_again(grid: Path, tiny: Tiny) -> None:
    best = told(grid)["best"][0]
    lines = [line.strip() for line in (grid / "out").read_text().splitlines() if line.startswith("  python -m runner")]
    plain, experiment = (shlex.split(line)[3:] for line in lines)
    assert plain == shlex.split(best["command"])[3:]
    assert experiment == ["--config-dir", str(grid / "outputs/tune/s"), "+tuned=best"]
    kls = []
    for number, arguments in enumerate((plain, experiment)):
        place = grid / f"again{number}"
        assert command(*arguments, f"paths.output={place}", cwd=grid).status == 0
        kls.append(json.loads((place / "acc_auto/summary.json").read_text())["kl"])
    assert kls == [best["values"]["kl"]] * 2


def test_page_needs_nothing_from_elsewhere(grid: Path) -> None:
    page = (grid / "outputs/tune/s/tune.html").read_text()
    best = told(grid)["best"][0]
    assert page.count("<svg") >= 1 and "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert f"trial {best['trial']} of the study s" in page
    assert all(f'href="trials/{t["trial"]:04d}/report.html"' in page for t in told(grid)["all"])


def test_same_command_runs_nothing_again(grid: Path, tiny: Tiny) -> None:
    before = (grid / "outputs/tune/s/tune.json").read_bytes()
    again = study(grid, *options(tiny, *SPACE, "tune.sampler=grid", "tune.trials=50", "tune.jobs=2"))
    assert again.status == 0
    assert not [line for line in again.err.splitlines() if line.startswith("trial ")]
    assert (grid / "outputs/tune/s/tune.json").read_bytes() == before


def wait_for(path: Path, running: int) -> None:
    """Wait until a study has so many folders of trials."""
    for _ in range(1200):
        if len(list(path.glob("outputs/tune/s/trials/*/console.log"))) >= running:
            return
        time.sleep(0.05)
    raise AssertionError("no trial has begun")


@pytest.fixture(scope="module")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The trials of a study that nothing disturbed."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    assert study(cwd, *options(tiny, *SPACE, "tune.trials=3")).status == 0
    return trials_of(cwd)


def trials_of(cwd: Path) -> list[Any]:
    return [(trial["trial"], trial["state"], trial["setting"], trial["values"]) for trial in told(cwd)["all"]]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_study_that_is_ended_goes_on_as_if_nothing_had_been(
    number: int, status: int, undisturbed: list[Any], tiny: Tiny, tmp_path: Path
) -> None:
    arguments = options(tiny, *SPACE, "tune.trials=3")
    process = begin(tmp_path, *arguments)
    wait_for(tmp_path, 2)
    process.send_signal(number)
    ended = finish(process)
    assert ended.status == status
    if number == signal.SIGINT:
        assert "interrupted: the same command goes on." in ended.err
        assert "1 under way or interrupted" in ended.out
        assert [state for _, state, _, _ in trials_of(tmp_path)] == ["done", "running"]
    assert study(tmp_path, *arguments).status == 0
    assert trials_of(tmp_path) == undisturbed


def test_two_processes_share_a_study_and_find_the_known_optimum(grid: Path, tiny: Tiny, tmp_path: Path) -> None:
    arguments = options(tiny, *SPACE, "tune.trials=50")
    processes = [begin(tmp_path, *arguments) for _ in range(2)]
    ended = [finish(process) for process in processes]
    assert [one.status for one in ended] == [0, 0], [one.err for one in ended]
    told_trials = [[line for line in one.err.splitlines() if line.startswith("trial ")] for one in ended]
    assert all(told_trials) and sum(map(len, told_trials)) == 6
    assert study(tmp_path, *arguments).status == 0
    found = told(tmp_path)
    assert found["trials"]["done"] == 6
    assert found["best"][0]["setting"] == told(grid)["best"][0]["setting"]


def test_failed_trial_is_told_with_its_reason_and_ends_with_5(tiny: Tiny, tmp_path: Path) -> None:
    space = ["tune.space.calibration.count=[6,4000]", "tune.sampler=grid"]
    ended = study(tmp_path, *options(tiny, *space, observer="minmax"))
    assert ended.status == 5
    assert "trial 1 failed: count=4000: calibration.count: expected 1 to 40" in ended.out
    done, failed = told(tmp_path)["all"]
    assert (done["state"], failed["state"], failed["exit_status"]) == ("done", "failed", 2)
    assert told(tmp_path)["best"][0]["trial"] == 0


def test_two_objectives_leave_a_front(tiny: Tiny, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"observer": "minmax"}
    arguments = options(tiny, "tune.space.skip_layer_types=[[],[Conv]]", **changes)
    arguments[arguments.index("tune.objective=kl")] = "tune.objective=[kl,macs_float]"
    assert study(tmp_path, *arguments).status == 0
    found = told(tmp_path)
    assert found["sampler"] == "nsga2"
    # A layer left float costs multiply-accumulates and takes noise away.
    assert [trial["setting"]["skip_layer_types"] for trial in found["best"]] == ["[Conv]", "[]"]
    svg = (tmp_path / "outputs/tune/s/front.svg").read_text()
    assert svg.count("<circle") >= 2 and "beaten by none" in svg


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "tune.space: nothing to try."),
        (["tune.space.observer=[ifmr]", "tune.objective=los"], "tune.objective: no such objective 'los'. Did you mean 'loss'?"),
        (["tune.space.correction.roundin=[nearest]"], "nearest cannot be tried: correction.roundin: no such option"),
        (["tune.space.correction.rounding=[nearest,up]"], "up cannot be tried: correction.rounding: expected nearest"),
        (["tune.space.observer=[ifmr,hfgm]"], "hfgm cannot be tried: observer=hfgm: no such option."),
        (["tune.space.calibration.count={int:[1,x]}"], "expected {int: [low, high]} of whole numbers, got [1,x]."),
        (["tune.space.observer=[ifmr]", "observer=hfmg"], "observer: given for all trials and in tune.space as well"),
        (["tune.space.observer=[ifmr]", "tune.trails=3"], "tune.trails: no such option. Did you mean tune.trials?"),
        (["tune.space.observer=[ifmr]", "tune.jobs=0"], "tune.jobs: expected 1 or more, got 0."),
        (["tune.space.observer=[ifmr]", "tune.sampler=best"], "tune.sampler: expected tpe or random or grid or nsga2"),
        (["tune.space.observer=[ifmr]", "tune.study=a/b"], "tune.study: expected a name of letters"),
        (["tune.space.target_loss={float:[0.1,1]}", "tune.sampler=grid"], "grid: target_loss has no step; give it one"),
        (["tune.space.observer=[ifmr]", "-m"], "--multirun: a study is no sweep; name what is tried in tune.space."),
        (["tune.space.observer=[ifmr]", "target_los=1"], "target_los: no such option"),
        (["tune.space.observer=[ifmr]", "target_loss=x"], "target_loss: expected a number, got 'x'."),
        (
            ["tune.space.observer=[ifmr,percentile]", "tune.space.observer.max_percentile={float:[0.9,1]}"],
            "tune.space: 'max_percentile' lies below a key that is a list of choices already. Give both at once:",
        ),
        (
            ["tune.space={observer:[ifmr,percentile],observer.max_percentile:{float:[0.9,1],when:{observer:hfmg}}}"],
            "tune.space.observer.max_percentile: when: observer is never hfmg. It has ifmr, percentile.",
        ),
        (["+hparams_search=digts"], "hparams_search=digts: no such option. Did you mean hparams_search=digits?"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_before_any_trial(
    arguments: list[str], message: str, refused: Command, tmp_path: Path
) -> None:
    ended = refused(*arguments)
    assert ended.status == 2
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("outputs/tune/*/trials"))


@pytest.mark.parametrize("asked", ["doctor", "doctor=true"])
def test_a_study_is_not_looked_at(asked: str, tmp_path: Path) -> None:
    ended = study(tmp_path, asked, *SPACE)
    assert ended.status == 2
    assert "a study is not looked at, a job is. Type python -m runner doctor," in ended.err
    assert not list(tmp_path.iterdir())
