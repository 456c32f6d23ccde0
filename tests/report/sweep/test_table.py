"""The table of a sweep: all its figures in 80 columns, whatever the options are called."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from runner.report.sweep.swept import Sweep
from runner.report.sweep.table import print_sweep
from tests.report.sweep.swept import FOLDER, job, sweep


def shown(swept: Sweep, width: int = 80, *, terminal: bool = False) -> str:
    """Return what a terminal, or a log, of some width shows."""
    stream = io.StringIO()
    print_sweep(swept, Console(file=stream, width=width, force_terminal=terminal, legacy_windows=False))
    return stream.getvalue()


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows that begin a job."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines() if re.match(r" +\*?\d+  ", line)]


def test_each_option_that_varies_is_a_column_beside_the_figures() -> None:
    swept = sweep(
        job(0, "not_met", 0.125, 1.0, target_loss="0.1", strategy="greedy"),
        job(1, "met", 0.25, 0.5, target_loss="0.5", strategy="greedy"),
    )
    text = shown(swept)
    heading = next(line for line in text.splitlines() if "status" in line)
    assert re.split(r"  +", heading.strip()) == ["target_loss", "strategy", "status", "loss", "int8", "MACs", "s"]
    assert rows(text) == [
        ["0", "0.1", "greedy", "not_met", "0.125", "26/26", "100.0%", "12.3"],
        ["*1", "0.5", "greedy", "met", "0.25", "13/26", "50.0%", "12.3"],
    ]
    assert "* best: among the jobs that kept their target the one with most" in text
    assert "sweep of 2 jobs: net on eval" in text


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("value", ["a" * 90, "数据" * 30, "<b>&[bold]'\"" * 6])
def test_figures_have_their_room_however_long_the_options_are(value: str, width: int) -> None:
    varied = {"dataset.preprocess.something": value, "correction.rounding": "compensated"}
    text = shown(sweep(job(0, "met", 1234.5678, 0.987, **varied), job(1, "not run", **varied)), width)
    table = text.partition("* best")[0]
    assert all(Console().render_str(line, markup=False).cell_len <= width for line in table.splitlines())
    for figure in ("met", "1235", "26/26", "98.7%", "12.3", "not run"):
        assert re.search(rf" {re.escape(figure)} ", table), figure
    cells = "".join(re.findall(r"^ +(?:\*?\d+)? +(\S.*?)(?:  |$)", table, re.MULTILINE))
    assert value.replace(" ", "") in cells.replace(" ", "")


def test_failed_jobs_have_their_reason_in_one_line_and_idle_ones_are_named() -> None:
    text = shown(
        sweep(job(0, seed="1"), job(1, "failed", seed="2"), job(2, "not run", seed="3"), job(3, "not run", seed="4"))
    )
    assert "\n1 seed=2: model.path: absent.onnx does not exist\n" in text
    assert "\nnot run: 2, 3\n" in text
    assert "\nThe same command with sweep.name=friday does only what is missing.\n" in text
    assert [row[2] for row in rows(text)] == ["met", "failed", "not run", "not run"]


def test_whole_sweep_says_nothing_of_what_is_missing() -> None:
    assert "missing" not in shown(sweep(job(0, seed="1"), job(1, "not_met", seed="2")))


def test_reports_and_the_sweeps_own_files_are_paths_that_are_never_broken() -> None:
    lines = shown(sweep(job(0, a="1"), job(1, a="2")), 40).splitlines()
    assert f"  0*: {FOLDER}/0_job/report.html" in lines
    assert f"  1: {FOLDER}/1_job/report.html" in lines
    assert [line.strip() for line in lines[-3:]] == [f"{FOLDER}/sweep.{kind}" for kind in ("html", "csv", "json")]


def test_links_are_for_terminals_alone() -> None:
    swept = sweep(job(0, a="1"), job(1, "failed", a="2"))
    assert "\x1b" not in shown(swept)
    assert shown(swept, terminal=True).count("\x1b]8;id=") == 1
    assert f"file://{FOLDER}/0_job/report.html" in shown(swept, terminal=True)


def test_one_job_varies_nothing() -> None:
    assert rows(shown(sweep(job(0))))[0] == ["*0", "job", "met", "0.5", "26/26", "100.0%", "12.3"]
