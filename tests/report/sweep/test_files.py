"""The files of a sweep, read back by the readers of their formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from runner.report.sweep.files import sweep_csv, sweep_json, write_sweep
from runner.report.sweep.swept import Sweep
from tests.report.sweep.swept import job, sweep

PLAN = {"format": 1, "overrides": ["seed=1,2"], "jobs": [{"number": 0, "options": {"seed": "1"}}]}


def test_csv_is_a_row_a_job_and_marks_the_best() -> None:
    swept = sweep(job(0, "not_met", seed="1"), job(1, "met", 0.1, 0.5, seed="2"), job(2, "failed", seed="3"))
    found = list(csv.DictReader(io.StringIO(sweep_csv(swept))))
    assert [(row["job"], row["seed"], row["status"], row["best"]) for row in found] == [
        ("0", "1", "not_met", ""),
        ("1", "2", "met", "best"),
        ("2", "3", "failed", ""),
    ]
    assert [float(row["loss"]) for row in found[:2]] == [0.5, 0.1]
    assert (found[1]["report"], found[2]["report"]) == ("1_job/report.html", "")
    assert (found[2]["loss"], found[2]["reason"]) == ("", "model.path: absent.onnx does not exist")


def test_option_that_a_spreadsheet_would_take_for_a_formula_is_behind_an_apostrophe() -> None:
    (row,) = csv.DictReader(io.StringIO(sweep_csv(sweep(job(0, name='=cmd|"/c calc"!A1')))))
    assert row["name"] == '\'=cmd|"/c calc"!A1'


def test_json_keeps_the_plan_and_tells_what_came_of_it() -> None:
    told = json.loads(sweep_json(sweep(job(0, seed="1"), job(1, "not run", seed="2")), PLAN))
    assert (told["overrides"], told["best"]) == (["seed=1,2"], 0)
    assert told["jobs"][0]["options"] == {"seed": "1"}
    assert (told["jobs"][0]["status"], told["jobs"][0]["macs_int8_share"]) == ("met", 1.0)
    assert (told["jobs"][1]["status"], told["jobs"][1]["exit_status"], told["jobs"][1]["seconds"]) == (
        "not run",
        None,
        None,
    )


def test_all_three_are_written_also_of_names_that_are_no_utf8(tmp_path: Path) -> None:
    swept = sweep(job(0, name="a\udce9"))
    write_sweep(Sweep(tmp_path, swept.keys, swept.jobs), PLAN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "sweep.html", "sweep.json"]
    assert json.loads((tmp_path / "sweep.json").read_text("utf-8"))["jobs"][0]["varied"] == {"name": "a\udce9"}
