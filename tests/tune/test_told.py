"""What a study leaves to read: table, spreadsheet, page, pictures, and the best setting as an experiment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from runner.app.places import register_resolvers, shipped
from runner.report.objective import objectives
from runner.tune.experiment_file import experiment_file
from runner.tune.findings import Findings
from runner.tune.jobs import Command, outcome
from runner.tune.pictures import front_chart, history, importance_bars
from runner.tune.read_space import read_space
from runner.tune.run_study import study_status
from runner.tune.study import Plan, Taken
from runner.tune.table import below_table, study_table, trial_line
from runner.tune.told import as_csv, tell
from runner.tune.trial import Outcome, Trial

CIRCLE = "{http://www.w3.org/2000/svg}circle"


def done(number: int, *values: float, met: bool = True, **setting: str) -> Trial:
    figures = {"loss": 0.25, "target_loss": 0.5, "target_met": met, "macs_int8_share": 1.0}
    return Trial(number, setting, "done", values, Outcome(0 if met else 3, "", 2.5, figures))


FAILED = Trial(3, {"observer": "hfmg"}, "failed", (), Outcome(2, "data[0] is [broken]", 1.0))
REPEATED = Trial(4, {"observer": "ifmr"}, "repeated", (0.25,), None, 1)
RUNNING = Trial(5, {"observer": "percentile"}, "running")
TRIALS = [
    done(0, 0.5, observer="minmax"),
    done(1, 0.25, observer="ifmr"),
    done(2, 2.75, met=False, observer="percentile"),
    FAILED,
    REPEATED,
]


def findings(
    folder: Path,
    trials: list[Trial],
    names: Any = "macs_float",
    flags: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
) -> Findings:
    wanted = objectives(names)
    space = read_space({"observer": ["minmax", "ifmr", "hfmg", "percentile"]})
    plan = Plan("s", space, tuple(one.name for one in wanted), 9, "tpe", 0, 10, {})
    return Findings(
        plan, wanted, trials, {"observer": 1.0}, Command("s", folder, flags, overrides), {"observer": "ifmr"}
    )


def test_table_has_the_best_first_and_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(tmp_path, TRIALS)
    Console(width=80).print(study_table(found))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    rows = [line.split() for line in lines if "observer=" in line]
    assert rows == [
        ["*1", "0.25", "0.25", "100.0%", "met", "2.5", "observer=ifmr"],
        ["0", "0.5", "0.25", "100.0%", "met", "2.5", "observer=minmax"],
        ["2", "2.75", "0.25", "100.0%", "missed", "2.5", "observer=percentile"],
    ]


def test_below_the_table_stand_reasons_counts_and_commands(tmp_path: Path) -> None:
    found = findings(tmp_path, [*TRIALS, RUNNING], overrides=("model=file", "model.path=a b.onnx"))
    assert below_table(found) == [
        "trial 3 failed: observer=hfmg: data[0] is [broken]",
        "4 settings tried of the 4 that there are; 1 proposals repeated one and were not run.",
        "1 under way or interrupted: the same command takes up those that nobody runs.",
        "",
        "To run the best again:",
        "  python -m runner model=file 'model.path=a b.onnx' observer=ifmr",
        f"  python -m runner --config-dir {tmp_path} +tuned=best",
        "",
        f"Pictures and all trials: {tmp_path / 'tune.html'}",
    ]


def test_folder_of_the_users_own_goes_before_that_of_the_study(tmp_path: Path) -> None:
    found = findings(tmp_path, TRIALS, flags=("--config-dir", "mine"))
    assert (
        found.experiment_command(TRIALS[1])
        == f"python -m runner --config-dir mine 'hydra.searchpath=[file://{tmp_path}]' +tuned=best"
    )


def test_line_of_a_trial_says_what_it_found(tmp_path: Path) -> None:
    plan = findings(tmp_path, []).plan
    assert trial_line(TRIALS[2], TRIALS[:3], plan) == (
        "trial 2 (3 of 9) in 2.5 s: observer=percentile: macs_float 2.75, target missed; best so far: trial 1"
    )
    assert (
        trial_line(FAILED, TRIALS[:4], plan) == "trial 3 (4 of 9) in 1.0 s: observer=hfmg: failed: data[0] is [broken]"
    )


@pytest.mark.parametrize(
    ("trials", "status"),
    [
        (TRIALS[:3], 0),
        ([TRIALS[2]], 3),
        ([], 3),
        (TRIALS, 5),
        ([TRIALS[2], REPEATED], 3),
    ],
)
def test_exit_status_is_that_of_a_sweep(trials: list[Trial], status: int) -> None:
    assert study_status(trials) == status


def test_files_are_written_also_where_nothing_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(findings(tmp_path, [RUNNING]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tune.csv", "tune.json"]
    tell(findings(tmp_path, TRIALS))
    names = {"tune.csv", "tune.json", "tune.html", "history.svg", "tuned"}
    assert {path.name for path in tmp_path.iterdir()} == names
    page = (tmp_path / "tune.html").read_text()
    assert "data[0] is [broken]" in page and "0.25" in page
    assert (tmp_path / "tune.csv").read_text().splitlines()[4].startswith("3,failed,,")
    assert json.loads((tmp_path / "tune.json").read_text())["all"][4]["same_as"] == 1


def test_each_trial_of_a_front_is_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["kl", "loss"]
    first, second, third = (
        done(0, 1.0, 2.0, observer="ifmr"),
        done(1, 2.0, 1.0, observer="hfmg"),
        done(2, 0.5, 1.5, a="x"),
    )
    tell(findings(tmp_path, [first, second], names))
    assert {path.name for path in (tmp_path / "tuned").iterdir()} == {"trial_0.yaml", "trial_1.yaml"}
    assert "override /observer: hfmg" in (tmp_path / "tuned" / "trial_1.yaml").read_text()
    tell(findings(tmp_path, [first, second, third], names))
    assert {path.name for path in (tmp_path / "tuned").iterdir()} == {"trial_1.yaml", "trial_2.yaml"}
    assert f"  python -m runner --config-dir {tmp_path} +tuned=trial_2\n" in capsys.readouterr().out


def test_history_draws_missed_targets_on_the_edge_so_that_others_keep_their_scale() -> None:
    (objective,) = objectives("kl")
    trials = [done(0, 3e-5, a="1"), done(1, 1e6 + 2, met=False, a="2"), done(2, 1e-5, a="3")]
    circles = list(ET.fromstring(history(trials, objective)).iter(CIRCLE))
    marks = [circle for circle in circles if len(circle)]
    height = {circle[0].text.splitlines()[0][:7]: float(circle.attrib["cy"]) for circle in marks if circle[0].text}  # type: ignore[union-attr]
    assert height["trial 1"] <= height["trial 0"] < height["trial 2"]
    assert "target missed" in history(trials, objective) and "target missed" not in history(trials[:1], objective)


def test_pictures_stand_where_all_trials_are_alike() -> None:
    wanted = objectives(["kl", "loss"])
    for trials in (
        [done(0, 0.0, 0.0, a="1")],
        [done(0, 1e6, 1.0, met=False, a="1"), done(1, 1e6, 1.0, met=False, a="2")],
    ):
        for svg in (history(trials, wanted[0]), front_chart(trials, wanted), importance_bars({})):
            ET.fromstring(svg)


def test_front_joins_what_no_other_beats() -> None:
    trials = [done(n, x, y, a=str(n)) for n, (x, y) in enumerate([(0.0, 2.0), (1.0, 1.0), (2.0, 0.0), (2.0, 2.0)])]
    svg = front_chart(trials, objectives(["kl", "loss"]))
    marks = [circle for circle in ET.fromstring(svg).iter(CIRCLE) if len(circle)]
    colours = {re.match(r"trial (\d)", str(circle[0].text))[1]: circle.attrib["fill"] for circle in marks}  # type: ignore[index]
    assert len({colours["0"], colours["1"], colours["2"]}) == 1 and colours["3"] != colours["0"]


OVERRIDES = [
    ["observer=percentile", "observer.max_percentile=0.999", "quant=amct"],
    ["+hparams_search=digits", "correction.rounding=compensated", "calibration.count=20", "observer=hfmg"],
    ["mode=convert_qat", "on_asymmetric_weight=refuse"],
    ["+experiment=digits_outputs", "correction.rounding=nearest", "observer=hfmg"],
    ["metric=kl", "target_loss=2e-06", "skip_layers=[a,'b c']", "dataset.constants={sr: 16000}", "budget.minutes=null"],
    [
        "++seed=3",
        "model=file",
        "model.path=/a/b.onnx",
        "dataset=image_folder",
        "dataset/preprocess=tf",
        "dataset.images=x",
    ],
]


@pytest.mark.parametrize("overrides", OVERRIDES)
def test_experiment_composes_what_the_command_line_does(overrides: list[str], tmp_path: Path) -> None:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        whole = compose("config", overrides, return_hydra_config=True)
        choices = {str(key): value for key, value in whole.hydra.runtime.choices.items()}
        plain = compose("config", overrides)
        text, left = experiment_file(overrides, choices, ["best"])
        assert left == []
        (tmp_path / "tuned").mkdir()
        (tmp_path / "tuned" / "best.yaml").write_text(text)
        assert compose("config", [f"hydra.searchpath=[file://{tmp_path}]", "+tuned=best"]) == plain


def test_what_an_experiment_cannot_say_is_left_to_the_command() -> None:
    text, left = experiment_file(["~postprocess", "hydra.verbose=true", "seed=1"], {"postprocess": None}, [])
    assert left == ["~postprocess", "hydra.verbose=true"]
    assert "seed: 1" in text


def test_trials_command_marks_study_trial_and_what_it_tries(tmp_path: Path) -> None:
    command = Command("s", tmp_path / "a b", ("--config-dir", "x"), ("quant=amct",))
    assert command.of_trial(Taken(7, {"observer": "hfmg", "n": "3"})) == [
        *("--config-dir", "x", "quant=amct", "observer=hfmg", "n=3", "++tune.study=s", "++tune.trial=7"),
        "++tune.varied='observer=hfmg, n=3'",
        f"hydra.run.dir='{tmp_path}/a b/trials/0007'",
    ]


def test_job_without_a_result_is_told_by_its_last_words(tmp_path: Path) -> None:
    assert outcome(-9, tmp_path, 1).reason.startswith("ended by SIGKILL; ")
    assert outcome(1, tmp_path, 1).reason == "ended with status 1 and no result"
    (tmp_path / "console.log").write_text("load\nerror: no such thing\n")
    assert outcome(2, tmp_path, 1).reason == "no such thing"
    event = {"time": 1, "event": "JobFailed", "kind": "", "message": "why", "exit_status": 2}
    (tmp_path / "events.jsonl").write_text(f"{json.dumps(event)}\n")
    assert outcome(2, tmp_path, 1).reason == "why"
    assert outcome(0, tmp_path, 1).reason == "why"  # a status without the summary that belongs to it


def test_cells_that_a_spreadsheet_would_run_are_texts(tmp_path: Path) -> None:
    failed = Trial(3, {"observer": "-0.5"}, "failed", (), Outcome(2, "=cmd|' /C calc'!A0", 1.0))
    cells = as_csv(findings(tmp_path, [done(0, -0.5, observer="@SUM(A1)"), failed])).splitlines()
    assert "'=cmd|' /C calc'!A0" in cells[2] and "-0.5" in cells[2].split(",")
    assert "'@SUM(A1)" in cells[1] and "-0.5" in cells[1].split(",")
