"""Tables for the terminal: what a user reads, whatever the names hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from runner.lint.finding import Finding
from runner.modes.result import AccAutoResult
from runner.report.summary import summarize
from runner.report.table import deploy_lines, summary_table, sweep_table
from runner.search.end_to_end import LossContributions
from runner.search.plan import LayerGroup


def printed(table: RenderableType, width: int = 200) -> list[str]:
    """Return the lines that a terminal of some width shows."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def table(result: AccAutoResult, **changed: Any) -> list[str]:
    summary = summarize(result, mode="acc_auto", seed=0, config_sha256="") | changed
    return printed(summary_table(result, summary))


def test_verdict_figures_and_files_are_shown(job: dict[str, AccAutoResult]) -> None:
    lines = table(job["met"], float_metric=99.125, quantized_metric=98.9, loss=0.225)
    shown = dict(line.split("  ", 1) for line in lines if "  " in line and not line.startswith(" "))
    assert lines[0] == "net on data: target met"
    assert shown["top1"].strip() == "99.12 -> 98.9  (20 items)"
    assert shown["loss"].strip() == "0.225 percentage points; allowed below 90"
    assert shown["int8 layers"].strip() == "4 of 4, 100.0% of MACs"
    assert shown["left float"].strip() == "none"
    root = job["met"].folder.root
    files = lines[lines.index(f"Files in {root}:") + 1 :]
    assert [f"  {path.relative_to(root)}" for path in sorted(job["met"].folder.files)] == files


def test_missed_target_names_the_closest_plan_and_offers_no_atc_line(job: dict[str, AccAutoResult]) -> None:
    lines = table(job["missed"])
    closest = job["missed"].search.closest
    assert lines[0] == "net on data: target not met"
    said = f"loss {closest.loss:.4g} with {len(closest.plan.fallback)} layers float; no model is written"
    assert any(line.startswith("closest plan") and line.endswith(said) for line in lines)
    assert deploy_lines(job["missed"]) == []


def test_gaps_and_what_atc_says_are_shown(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert result.written is not None
    warned = Finding("x", "fixed sizes", "N", "warning")
    twice = [Finding(f"{name}{index}", f"a{index}", "b", "unsupported") for name in "nm" for index in range(5)]

    def shown(**changed: Any) -> list[str]:
        return table(replace(result, written=replace(result.written, **changed)))

    lines = shown(ort_level_gap=0.03125, cpu_int8_gap=0.0625, notes=())
    said = "3.1% of a batch's answers change with onnxruntime's optimisations, 6.2% with the CPU's own int8 kernels"
    assert f"elsewhere      {said}" in lines
    assert "deploy check   nothing that ATC would refuse or misread" in lines
    lines = shown(ort_level_gap=0.0, cpu_int8_gap=None, notes=(warned, *twice))
    assert "elsewhere      0.0% of a batch's answers change with onnxruntime's optimisations" in lines
    first = lines.index("deploy check   n0, m0: expected a0, got b")
    assert [line.strip() for line in lines[first + 1 : first + 4]] == [
        "n1, m1: expected a1, got b",
        "n2, m2: expected a2, got b",
        "and 3 more",
    ]


def test_layers_of_most_damage_are_shown_with_their_shares(job: dict[str, AccAutoResult]) -> None:
    units = (*((LayerGroup((f"layer{n}",), 1), float(n)) for n in range(7)), (LayerGroup(("q[k]", "v"), 1), 6.5))
    damaged = replace(job["met"], damage=LossContributions("kl", (0, 1, 2), 10.0, units))
    (line,) = [line for line in table(damaged) if line.startswith("most damage")]
    shown = "q[k] + v 65%, layer6 60%, layer5 50%, layer4 40%, layer3 30%  (kl on 3 items)"
    assert line.removeprefix("most damage").strip() == shown
    harmless = replace(job["met"], damage=LossContributions("noise", (0,), 0.0, units[:1]))
    assert any(line.split() == ["most", "damage", "none", "(noise", "on", "1", "items)"] for line in table(harmless))
    assert not any("most damage" in line for line in table(job["met"]))


def test_repaired_layers_are_counted(job: dict[str, AccAutoResult]) -> None:
    assert any(
        line.split() == ["repaired", "2", "of", "the", "int8", "layers"]
        for line in table(job["met"], repaired=["a", "b"])
    )
    assert not any(line.startswith("repaired") for line in table(job["met"]))


def test_line_for_atc_names_the_deploy_model_and_its_shape(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert result.written is not None
    line = deploy_lines(result)[-1]
    assert f"--model={result.folder.path(result.written.pair.deploy)} " in line
    assert '--input_shape="x:1,3,4,4"' in line


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "n0"), (8, "n0, n1, n2, n3, n4, n5, n6, n7"), (10, "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more")],
)
def test_long_lists_of_float_layers_are_cut(count: int, shown: str, job: dict[str, AccAutoResult]) -> None:
    lines = table(job["met"], fallback=[f"n{index}" for index in range(count)])
    assert any(line.startswith("left float") and line.endswith(f"  {shown}") for line in lines)


def test_rounded_tensors_have_a_row_of_their_own(job: dict[str, AccAutoResult]) -> None:
    assert not any(line.startswith("int8 tensors") for line in table(job["met"]))
    lines = table(job["met"], tensors_quantized=4)
    assert any(line.startswith("int8 tensors") and line.endswith("  4 that other nodes read") for line in lines)


def test_companions_that_do_not_apply_have_no_row(job: dict[str, AccAutoResult]) -> None:
    summary = summarize(job["met"], mode="acc_auto", seed=0, config_sha256="")
    plain = {key: value for key, value in summary.items() if key not in ("agreement", "kl")}
    lines = printed(summary_table(job["met"], plain))
    assert not any(line.startswith(("agreement", "KL")) for line in lines)


def test_names_with_brackets_and_colons_are_shown_as_they_are(job: dict[str, AccAutoResult]) -> None:
    lines = table(job["met"], model="net[v2]", dataset="[/data]", fallback=["block[/0]/conv", "[red]", ":cat:"])
    assert lines[0] == "net[v2] on [/data]: target met"
    assert any(line.endswith("block[/0]/conv, [red], :cat:") for line in lines)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_sweep_has_a_row_a_job_with_figures_or_the_reason() -> None:
    summary = {
        "layers_int8": 25,
        "layers_total": 26,
        "loss": 0.125,
        "quantized_metric": 98.75,
        "float_metric": 98.875,
        "seconds": {"total": 12.34},
    }
    jobs: list[dict[str, Any]] = [
        {"label": "0_target_loss=0.2", "status": "met", "summary": summary, "note": ""},
        {
            "label": "1_model.path=a",
            "status": "failed",
            "summary": None,
            "note": "resize: expected [height, width] :no:",
        },
    ]
    lines = printed(sweep_table(jobs))
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert rows == [
        ["0_target_loss=0.2", "met", "0.125", "25 of 26", "98.75", "98.88", "12.3"],
        ["1_model.path=a", "failed", "", "", "", "", ""],
    ]
    assert lines[-1] == "1_model.path=a: resize: expected [height, width] :no:"


def test_narrow_terminal_loses_no_letter_of_a_label_or_reason() -> None:
    label, note = "0_calibration.count=4,target_loss=0.2", "model.path: absent.onnx does not exist"
    jobs = [{"label": label, "status": "failed", "summary": None, "note": note}]
    lines = printed(sweep_table(jobs), width=80)
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert "".join(row[0] for row in rows) == label
    assert lines[-1] == f"{label}: {note}"


def test_paths_are_not_cut_on_a_narrow_terminal(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    lines = printed(summary_table(result, summarize(result, mode="acc_auto", seed=0, config_sha256="")), width=40)
    assert Path(str(result.folder.root)).as_posix() in "".join(line.strip() for line in lines)


def test_what_was_rewritten_is_told(job: dict[str, AccAutoResult]) -> None:
    assert not any(line.startswith("rewritten") for line in table(job["met"]))
    lines = table(job["met"], rewritten={"pixels": ["a"], "equalized": ["b", "c"]}, balanced=["d", "e"])
    first = next(place for place, line in enumerate(lines) if line.startswith("rewritten"))
    assert [line.removeprefix("rewritten").strip() for line in lines[first : first + 3]] == [
        "a reads the image's own levels as codes",
        "output channels of b, c are scaled",
        "the inputs of 2 layers are balanced by a Mul",
    ]
