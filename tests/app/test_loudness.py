"""``verbose``, ``quiet`` and ``json``: how much is said, and that nothing else changes with it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.app.journal import read_events
from runner.app.loudness import asks_for, loudness_of
from tests.app.conftest import Command, Tiny
from tests.command import Ended, command

JOB = Path("outputs") / "acc_auto"


def objects(out: str) -> list[dict[str, Any]]:
    """Return the objects of lines of JSON; every line has to be one."""
    assert out.endswith("\n")
    return [json.loads(line) for line in out.splitlines()]


def timeless(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event without its time, which is that of the line."""
    assert isinstance(event["time"], float)
    return {key: value for key, value in event.items() if key != "time"}


def test_quiet_job_prints_its_verdict_in_one_line(tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(), "quiet=true")
    assert ended == Ended(0, "target met: net on data, top1 100 -> 100, loss 0 < 90\n", ended.err)
    assert ended.err == "" or ended.err.startswith("warning: ")
    assert all(line.startswith("warning: ") for line in ended.err.splitlines())
    missed = run(*tiny.options(metric="mse", target_loss=0), "quiet=true")
    assert missed.status == 3 and re.fullmatch(
        r"target not met: net on data, mse 0 -> \S+, loss \S+ >= 0\n", missed.out
    )


def test_quiet_sweep_prints_one_line(tiny: Tiny, run: Command) -> None:
    ended = run("-m", *tiny.options(target_loss="80,90"), "quiet=true")
    assert ended.out == (
        "sweep of 2 jobs: net on data: 2 met; best: 0 target_loss=80, loss 0, 100.0% of multiply-accumulates in int8\n"
    )
    assert all("warning: " in line for line in ended.err.splitlines())


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        (["verbose=true", "quiet=true"], "verbose=true and quiet=true"),
        (["quiet=true", "verbose=true"], "verbose=true and quiet=true"),
        (["verbose=true", "quiet=true", "json=true"], "verbose=true and quiet=true and json=true"),
    ],
)
def test_contradictions_are_refused(given: list[str], pair: str, tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(), *given)
    message = f"verbose: {pair} contradict each other. Leave all but one out."
    assert (ended.status, ended.err) == (2, f"error: {message}\n")
    if "json=true" in given:
        failed, last = objects(ended.out)
        assert (failed["event"], failed["message"], last["event"]) == ("JobFailed", message, "Ended")
    else:
        assert ended.out == ""


@pytest.mark.parametrize("key", ["verbose", "quiet", "json"])
def test_what_is_no_boolean_is_refused(key: str, tiny: Tiny, run: Command) -> None:
    ended = run(*tiny.options(), f"{key}=loud")
    assert (ended.status, ended.err) == (2, f"error: {key}: expected true or false, got 'loud'.\n")


# Lines of JSON


def test_job_says_each_of_its_events_and_last_its_summary(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options(), "json=true")
    *events, last = objects(ended.out)
    assert list(map(timeless, events)) == list(map(timeless, read_events(tmp_path / JOB)))
    assert [events[0]["event"], events[-1]["event"]] == ["JobStarted", "JobFinished"]
    assert (last["event"], last["exit_status"], last["folder"]) == ("Ended", 0, str(tmp_path / JOB))
    assert last["summary"] == json.loads((tmp_path / JOB / "summary.json").read_text(encoding="utf-8"))


def test_missed_target_and_spent_budget_end_with_their_status(tiny: Tiny, run: Command) -> None:
    for options, status in (
        (["target_loss=0", "metric=mse"], 3),
        (["target_loss=0", "metric=kl", "budget.evaluations=3"], 6),
    ):
        ended = run(*tiny.options(target_loss=None, strategy="linear"), *options, "json=true")
        last = objects(ended.out)[-1]
        assert (ended.status, last["exit_status"]) == (status, status)
        assert last["summary"]["target_met"] is False


def test_a_failed_job_says_why(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run(*tiny.options(model__path="absent.onnx"), "json=true")
    *_, failed, last = objects(ended.out)
    assert (failed["event"], failed["exit_status"]) == ("JobFailed", 2)
    assert failed["message"].startswith("model.path: absent.onnx does not exist")
    assert {key: last[key] for key in last if key != "time"} == {
        "event": "Ended",
        "exit_status": 2,
        "folder": str(tmp_path / JOB),
    }
    # People read it too.
    assert ended.err == f"error: {failed['message']}\n"


@pytest.mark.parametrize(
    "given", [["target_los=1"], ["observer=minmix"], ["--tracing"], ["target_loss"], ["paths.output=null"]]
)
def test_what_is_refused_before_there_is_a_job_is_said_too(given: list[str], run: Command) -> None:
    ended = run("json=true", *given)
    told, last = objects(ended.out)
    assert (told["event"], told["kind"], last["event"], last["exit_status"]) == ("Told", "error", "Ended", 2)
    assert ended.err == f"error: {told['message']}\n"


def test_sweep_says_the_events_of_its_jobs_by_name_and_last_its_table(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run("-m", *tiny.options(model__path=f"{tiny.model},absent.onnx", model__name=None), "json=true")
    *events, last = objects(ended.out)
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    for name in names:
        said = [timeless(event) for event in events if event["job"] == name]
        assert said == [{**timeless(event), "job": name} for event in read_events(folder / name)]
    assert {event["job"] for event in events} == set(names)
    assert (last["event"], last["exit_status"], ended.status) == ("Ended", 5, 5)
    assert last["sweep"] == json.loads((folder / "sweep.json").read_text(encoding="utf-8"))


def test_what_others_print_is_no_line_of_json(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "loud_evaluator.py").write_text(
        "import numpy as np, onnxruntime as ort\n"
        "class Loud:\n"
        "    def evaluate(self, model):\n        print('evaluating')\n        return 1.0\n"
        "    def calibration(self, model):\n        pass\n"
        "    def metric_eval(self, before, after):\n        return True, 0.0\n",
        encoding="utf-8",
    )
    own = ["metric=amct_evaluator", "metric.evaluator=loud_evaluator.Loud", "json=true"]
    ended = command(*tiny.options(), *own, cwd=tmp_path)
    assert objects(ended.out)[-1]["event"] == "Ended"
    assert "evaluating" in ended.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["json=true"], True),
        (["mode=acc_auto", "++json=True"], True),
        (["json=false"], False),
        (["jsons=true"], False),
        (["a=json=true"], False),
        ([], False),
    ],
)
def test_lines_are_asked_for_on_the_command_line(arguments: list[str], expected: bool) -> None:
    assert asks_for("json", arguments) == expected


@pytest.mark.parametrize("printed", [["--cfg", "job", "-p", "seed"], ["--help"]])
def test_what_is_printed_and_nothing_run_stays_on_standard_output(printed: list[str], run: Command) -> None:
    ended, plain = run("json=true", *printed), run(*printed)
    # Help tells the options of its own command line too.
    assert (ended.status, ended.err, ended.out.splitlines()[0]) == (0, "", plain.out.splitlines()[0])


@pytest.mark.parametrize("key", ["verbose", "quiet", "json", "doctor"])
def test_jobs_of_a_sweep_do_not_differ_in_what_is_said(key: str, tiny: Tiny, run: Command, tmp_path: Path) -> None:
    ended = run("-m", *tiny.options(), f"{key}=true,false")
    assert ended.status == 2
    assert ended.err == f"error: {key}: holds for all jobs of a sweep; expected one value. Type {key}=true.\n"
    assert not (tmp_path / "outputs").exists()


def test_what_is_asked_for_is_read_leniently() -> None:
    assert loudness_of({}) == loudness_of({"verbose": False}) == loudness_of({"quiet": "loud"}) == "short"
    assert [loudness_of({key: True}) for key in ("verbose", "quiet", "json")] == ["full", "quiet", "json"]


# Nothing else changes


def test_results_and_digests_are_the_same_however_much_is_said(tiny: Tiny, run: Command, tmp_path: Path) -> None:
    found = []
    for given in ([], ["verbose=true"], ["quiet=true"], ["json=true"]):
        ended = run(*tiny.options(), *given)
        assert ended.status == 0, ended.err
        summary = json.loads((tmp_path / JOB / "summary.json").read_text(encoding="utf-8"))
        models = [
            (tmp_path / JOB / "results" / f"net_{kind}_model.onnx").read_bytes() for kind in ("deploy", "fake_quant")
        ]
        found.append((summary["config_sha256"], summary["loss"], models))
        # The later jobs find all that the first one worked out.
        assert summary["evaluations"]["full"] == (2 if len(found) == 1 else 0)
        started = next(event for event in read_events(tmp_path / JOB) if event["event"] == "JobStarted")
        assert not {"verbose", "quiet", "json"} & set(started["params"])
    assert all(each == found[0] for each in found)


def test_a_sweep_goes_on_however_much_is_said(tiny: Tiny, run: Command) -> None:
    arguments = ["-m", *tiny.options(target_loss="80,90"), "sweep.name=mine"]
    assert run(*arguments).err.count("done before") == 0
    assert run(*arguments, "quiet=true").err.count("done before") == 2
    assert run(*arguments, "verbose=true").err.count("done before") == 2


# Short by default


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_default_job_says_at_most_twenty_lines_in_a_pipe(mode: str, tmp_path: Path) -> None:
    ended = command(f"mode={mode}", cwd=tmp_path)
    assert ended.status == 0, ended.err
    out, err = ended.out.splitlines(), ended.err.splitlines()
    # On a busy machine a stage, or a plan, may take so long that it gets a line.
    err = [line for line in err if not re.fullmatch(r"  plan \d+: .*|.*: \d{2,}\.\d s", line)]
    assert len(out) + len(err) <= 20
    assert "\x1b" not in ended.out + ended.err
    assert err[0].startswith("The run: mlflow ui --backend-store-uri ") and err[1].startswith("  then open ")


if sys.platform != "win32":
    from tests.screen import on_terminal, too_wide

    SHORT = ["evaluation.count=40", "tracking=none"]
    SCREENS = {
        "met": ([*SHORT, "target_loss=5"], 0, "target met: "),
        "missed": ([*SHORT, "target_loss=0", "metric=mse", "quant=amct"], 3, "target not met: "),
        "convert_qat": (["mode=convert_qat", *SHORT], 0, "converted: "),
        "sweep": (["-m", "target_loss=0.1,0.2,0.5,1", *SHORT], 0, "[0 target_loss=0.1] "),
        "all of it": (["mode=convert_qat", "verbose=true", *SHORT], 0, "load the model: "),
    }

    @pytest.mark.parametrize("case", SCREENS)
    def test_what_is_left_on_a_terminal_of_80_columns(case: str, tmp_path: Path) -> None:
        arguments, status, first = SCREENS[case]
        ended, screen = on_terminal(*arguments, cwd=tmp_path)
        assert ended == status, screen.text
        assert screen.text[0].startswith(first)
        assert too_wide(screen.text) == []
        assert screen.colours
        # Bars were there, and none is left.
        assert any("━" in line for line in screen.ever)
        assert not any("━━━ " in line or "%  0:00" in line for line in screen.text)
        shares = [
            int(found[1])
            for line in screen.ever
            if (found := re.match(r"(?:whole job|\d target_loss=\S+) .*?(\d+)% ", line))
        ]
        assert shares and max(shares) <= 100
        if case != "sweep":
            assert shares == sorted(shares)
        if case in ("met", "missed", "convert_qat"):
            assert len([line for line in screen.text if not line.startswith("warning")]) <= 20

    def test_no_colour_is_honoured(tmp_path: Path) -> None:
        _, screen = on_terminal(*SHORT, "target_loss=5", cwd=tmp_path, NO_COLOR="1")
        assert screen.text[0].startswith("target met: ") and not screen.colours
