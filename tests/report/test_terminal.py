"""A report in the terminal: what a user reads, whatever the names hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from runner.app.labelled_lines import labelled_lines
from runner.figure import Figure, Report, Section
from runner.graph.rewriting import Rewriting
from runner.lint.finding import Finding
from runner.modes.result import AccAutoResult, Headline
from runner.report.layout import wrapped
from runner.report.sections.again import Asked
from runner.report.sections.next_try import just_above
from runner.report.terminal import figures_table, print_full, print_short, print_verdict, print_verdict_of, step_lines
from runner.report.told import JobFacts, told
from runner.search.end_to_end import LossContributions
from runner.search.plan import LayerGroup, SearchResult
from runner.targets.ascend.check import Checked
from runner.targets.ascend.gaps import Gaps
from tests.told import printed, report_of, rows_of


def test_verdict_and_figures_are_shown(job: dict[str, AccAutoResult]) -> None:
    lines = shown_of(job["met"], Headline("top1", "percentage points", 99.125, 98.9, 0.225))
    shown = dict(line.split("  ", 1) for line in lines if "  " in line and not line.startswith(" "))
    assert lines[0] == "net on data: target met"
    assert shown["top1"].strip() == "99.12 -> 98.9  (20 items)"
    assert shown["loss"].strip() == "0.225 percentage points; allowed below 90"
    assert shown["int8 layers"].strip() == "4 of 4, 100.0% of MACs"
    assert shown["left float"].strip() == "none"


def test_files_and_how_to_go_on_are_printed_below_the_figures(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    result = job["met"]
    root = result.folder.root
    report = report_of(result)
    print_full(report, root, result.folder.files)
    lines = capsys.readouterr().out.splitlines()
    first = lines.index(f"Files in {root}:") + 1
    files = [f"  {path.relative_to(root)}" for path in sorted(result.folder.files)]
    assert lines[first:] == files + step_lines(report)
    assert lines[0] == f"target met: net on data, {report.outcome}"
    # All rows, and nothing but them, in between.
    rows = printed(figures_table(report), 80)[1:]
    assert [line for line in lines[1 : first - 2] if line] == [line for line in rows if line]


def test_missed_target_names_the_closest_plan_and_offers_no_atc_line(job: dict[str, AccAutoResult]) -> None:
    lines = rows_of(job["missed"])
    closest = job["missed"].search.closest
    assert lines[0] == "net on data: target not met"
    said = f"loss {closest.loss:.4g} with {len(closest.plan.fallback)} layers float; no model is written"
    assert any(line.startswith("closest plan") and line.endswith(said) for line in lines)
    assert step_lines(report_of(job["missed"])) == []


# The short verdict


def short(report: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    print_short(report)
    return capsys.readouterr().out.splitlines()


def titles(lines: list[str]) -> list[str]:
    """Return what the lines with a title are about, in their order."""
    return [line[:13].strip() for line in lines if line[12:13] == " " and line[:1] != " "]


def test_short_verdict_begins_with_what_came_of_it_and_ends_in_what_to_do(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = job["met"]
    monkeypatch.chdir(result.folder.root.parent)
    lines = short(report_of(result), capsys)
    headline = result.comparison.headline
    assert lines[0] == (
        f"target met: net on data, top1 {headline.before:.4g} -> {headline.after:.4g}, loss {headline.loss:.4g} < 90"
    )
    assert result.checked is not None
    device = result.checked.proof.device
    told = dict(
        zip(titles(lines), (line[13:] for line in lines if line[12:13] == " " and line[:1] != " "), strict=True)
    )
    assert list(told) == [
        *("uncertainty", "input values", "int8 layers", "proof", "on a chip", "for atc"),
        *("deploy", "fake-quant", "record", "report", "more"),
    ]
    assert told["int8 layers"] == "4 of 4, 100.0% of multiply-accumulates; none is float"
    assert told["proof"] == "the deploy file gives the bits that were measured: 20 of 20 items"
    assert (
        told["on a chip"]
        == f"top1 {device.quantized:.4g} -> {device.device:.4g} with scales of 19 bits (simulated, 20 items)"
    )
    assert told["for atc"] == "the input's size is open, so the command below has --input_shape"
    name = result.folder.root.name
    assert told["deploy"] == f"{name}/{result.models[0]}" and told["fake-quant"] == f"{name}/{result.models[1]}"
    assert told["record"] == f"{name}/tmp/scale_offset_record.txt" and told["report"] == f"{name}/report.html"
    for file in ("deploy", "fake-quant", "record"):
        assert Path(told[file]).is_file()
    # The one to take next, not the check before it.
    assert lines[-2:] == step_lines(report_of(result))[-2:] and lines[-1].startswith("  atc --framework=5 --model=")
    assert len(lines) <= 18 and max(len(line) for line in lines[:-1]) <= 80


def test_short_verdict_of_a_missed_target_says_what_to_try(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    result = job["missed"]
    closest = result.search.closest
    for preset, first in (
        ("amct", "quant=fast: "),
        ("fast", "quant=best: "),
        ("best", "observer=hfmg or observer=percentile: "),
    ):
        lines = short(told(result, JobFacts(asked=Asked({"quant": preset}))), capsys)
        assert lines[0].startswith("target not met: net on data, mse ") and f"loss {closest.loss:.4g} >= 0" in lines[0]
        assert "deploy" not in titles(lines) and "record" not in titles(lines) and "atc" not in " ".join(lines)
        place = titles(lines).index("next")
        assert place == len(titles(lines)) - 1
        first_tried = next(place for place, line in enumerate(lines) if line.startswith("next "))
        tried = [line[13:] for line in lines[first_tried:]]
        assert tried[0].startswith("doctor ") and tried[1].startswith(first)
        (target,) = [line for line in tried if line.startswith("target_loss=")]
        assert float(target.partition("=")[2].partition(":")[0]) > closest.loss
        assert tried[-1].startswith("docs/howto/")
        # A path is never broken, and the test's own may be long.
        assert len(lines) <= 18 and max(len(line) for line in lines if not line.endswith("report.html")) <= 80


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(8.143, 8.2), (8.2, 8.3), (0.0512, 0.052), (0.1, 0.11), (99.97, 100.0), (12.0, 13.0), (0, 0.01)],
)
def test_target_that_is_suggested_lies_just_above_the_loss(loss: float, expected: float) -> None:
    assert just_above(loss) == pytest.approx(expected, rel=1e-12) and just_above(loss) > loss


def test_names_of_float_layers_stand_in_one_line(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    for names, said in (
        (["a", "b"], "a, b"),
        ([f"block{n}/depthwise/Conv" for n in range(5)], "block0/depthwise/Conv, block1/depthwise/Conv and 3 more"),
        (["x" * 60, "y"], "2 layers"),
    ):
        lines = short(report_of(with_float_layers(job["met"], names)), capsys)
        (line,) = [line for line in lines if line.startswith("left float")]
        assert line == f"left float   {said}"


def test_what_atc_may_refuse_is_counted_and_other_notes_are_told(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    result = job["met"]
    assert result.checked is not None
    refused = [Finding(f"n{index}", "an operator", "X", "unsupported") for index in range(3)]
    for notes, said in (
        ((), []),
        (refused, ["3 nodes that it may not take: quant-check-deploy tells which"]),
        (refused[:1], ["1 node that it may not take: quant-check-deploy tells which"]),
        ([Finding("fc", "transB 0", "transB 1", "warning")], ["note: fc: expected transB 0, got transB 1"]),
    ):
        checked = Checked(replace(result.checked.written, notes=tuple(notes)), result.checked.proof)
        lines = short(report_of(replace(result, files=replace(result.files, checked=checked))), capsys)
        assert [line[13:] for line in lines if line.startswith("for atc")] == said


def test_verdict_alone_is_one_line_whatever_the_width(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    report = report_of(job["met"])
    print_verdict(report)
    assert capsys.readouterr().out == f"target met: net on data, {report.outcome}\n"


def test_job_of_a_sweep_is_named_before_its_verdict(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(job["met"])
    print_verdict_of("3 seed=7", report)
    assert capsys.readouterr().out == f"[3 seed=7] target met, {report.outcome}\n"
    with labelled_lines("3 seed=7"):
        print_verdict_of("3 seed=7", report)
    assert capsys.readouterr().out == f"[3 seed=7] target met, {report.outcome}\n"


def test_no_line_is_wider_than_the_terminal_whatever_the_names(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(job["met"].source, model="数据" * 50, dataset="a_long/name.of-a_dataset" * 9)
    report = report_of(replace(with_float_layers(job["met"], ["x" * 200]), source=source))
    for width in (40, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = short(report, capsys)
        paths = [line for line in lines if line[:13].strip() in ("deploy", "fake-quant", "record", "report")]
        assert len(paths) == 4
        assert all(cell_len(line) <= width for line in lines[:-3] if line not in paths and line[:4] != "more")
        assert "数据" * 50 in "".join(lines[:9]) and "a_long/name.of-a_dataset" * 9 in "".join(lines[:12])


# Rows


def test_gaps_and_what_atc_says_are_shown(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert result.checked is not None
    warned = Finding("x", "fixed sizes", "N", "warning")
    twice = [Finding(f"{name}{index}", f"a{index}", "b", "unsupported") for name in "nm" for index in range(5)]

    def shown(gaps: Gaps, *notes: Finding) -> list[str]:
        written, proof = replace(result.checked.written, notes=notes), replace(result.checked.proof, gaps=gaps)
        return rows_of(replace(result, files=replace(result.files, checked=Checked(written, proof))))

    lines = shown(Gaps(0.03125, 0.0625))
    said = "3.1% of a batch's answers change with onnxruntime's optimisations, 6.2% with the CPU's own int8 kernels"
    assert f"elsewhere      {said}" in lines
    assert "deploy check   nothing that ATC would refuse or misread" in lines
    lines = shown(Gaps(0.0, None), warned, *twice)
    assert "elsewhere      0.0% of a batch's answers change with onnxruntime's optimisations" in lines
    first = lines.index("deploy check   n0, m0: expected a0, got b")
    assert [line.strip() for line in lines[first + 1 : first + 4]] == [
        "n1, m1: expected a1, got b",
        "n2, m2: expected a2, got b",
        "and 3 more",
    ]


def test_layers_of_the_largest_loss_contributions_are_shown_with_their_shares(job: dict[str, AccAutoResult]) -> None:
    units = (*((LayerGroup((f"layer{n}",), 1), float(n)) for n in range(7)), (LayerGroup(("q[k]", "v"), 1), 6.5))
    damaged = replace(job["met"], loss_contributions=LossContributions("kl", (0, 1, 2), 10.0, units))
    (line,) = [line for line in rows_of(damaged) if line.startswith("most damage")]
    shown = "q[k] + v 65%, layer6 60%, layer5 50%, layer4 40%, layer3 30%  (kl on 3 items)"
    assert line.removeprefix("most damage").strip() == shown
    harmless = replace(job["met"], loss_contributions=LossContributions("noise", (0,), 0.0, units[:1]))
    assert any(line.split() == ["most", "damage", "none", "(noise", "on", "1", "items)"] for line in rows_of(harmless))
    assert not any("most damage" in line for line in rows_of(job["met"]))


def test_repaired_layers_are_counted(job: dict[str, AccAutoResult]) -> None:
    trial = job["met"].search.best
    assert trial is not None and not any(line.startswith("repaired") for line in rows_of(job["met"]))
    fixed = replace(trial, plan=trial.plan.with_fallback(["conv0", "conv1"]).with_repair("int8+all"))
    lines = rows_of(replace(job["met"], search=SearchResult((trial, fixed), fixed)))
    assert any(line.split() == ["repaired", "2", "of", "the", "int8", "layers"] for line in lines)


def test_line_for_atc_names_the_deploy_model_and_its_shape(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert result.checked is not None
    line = step_lines(report_of(result))[-1]
    assert f"--model={result.folder.path(result.checked.written.pair.deploy)} " in line
    assert '--input_shape="x:1,3,4,4"' in line


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "n0"), (8, "n0, n1, n2, n3, n4, n5, n6, n7"), (10, "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more")],
)
def test_long_lists_of_float_layers_are_cut(count: int, shown: str, job: dict[str, AccAutoResult]) -> None:
    lines = rows_of(with_float_layers(job["met"], [f"n{index}" for index in range(count)]))
    assert any(line.startswith("left float") and line.endswith(f"  {shown}") for line in lines)


def test_rounded_tensors_have_a_row_of_their_own(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert not any(line.startswith("int8 tensors") for line in rows_of(result))
    form = replace(result.form, tensors=dict.fromkeys("abcd"))
    lines = rows_of(replace(result, layers=replace(result.layers, form=form)))
    assert any(line.startswith("int8 tensors") and line.endswith("  4 that other nodes read") for line in lines)


def test_companions_that_do_not_apply_have_no_row(job: dict[str, AccAutoResult]) -> None:
    comparison = job["met"].comparison
    alone = replace(comparison, metrics=[comparison.metrics[0]])
    lines = rows_of(replace(job["met"], comparison=alone))
    assert not any(line.startswith(("agreement", "KL")) for line in lines)


def test_names_with_brackets_and_colons_are_shown_as_they_are(job: dict[str, AccAutoResult]) -> None:
    source = replace(job["met"].source, model="net[v2]", dataset="[/data]")
    named = with_float_layers(job["met"], ["block[/0]/conv", "[red]", ":cat:"])
    lines = rows_of(replace(named, source=source))
    assert lines[0] == "net[v2] on [/data]: target met"
    assert any(line.endswith("block[/0]/conv, [red], :cat:") for line in lines)


def test_rows_of_one_title_show_it_once() -> None:
    figures = [Figure(title=title, phrase=f"{title}{n}") for n, title in enumerate("aabbba")]
    shown = Report("m", "net", "data", ("met", "green"), (), (Section(name="x", figures=figures),))
    lines = printed(figures_table(shown))
    assert [line.split() for line in lines[-6:]] == [["a", "a0"], ["a1"], ["b", "b2"], ["b3"], ["b4"], ["a", "a5"]]


def test_paths_are_not_cut_on_a_narrow_terminal(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    result = job["met"]
    print_full(report_of(result), result.folder.root, result.folder.files)
    text = "".join(line.strip() for line in capsys.readouterr().out.splitlines())
    assert Path(str(result.folder.root)).as_posix() in text.partition("Files in")[2].partition("To let ATC")[0]


def test_names_are_not_cut_on_a_narrow_terminal(job: dict[str, AccAutoResult]) -> None:
    name = "stem/" + "block" * 12
    lines = rows_of(with_float_layers(job["met"], [name]), width=40)
    assert name in "".join(line.removeprefix("left float").strip() for line in lines)


def test_what_was_rewritten_is_told(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    assert not any(line.startswith("rewritten") for line in rows_of(result))
    done = Rewriting(dict.fromkeys("a"), dict.fromkeys("bc"))
    balanced = {
        name: replace(layer, record=replace(layer.record, balance_factors=(1.0,)))
        for name, layer in list(result.form.layers.items())[:2]
    }
    form = replace(result.form, layers=balanced)
    lines = rows_of(replace(result, rewriting=done, layers=replace(result.layers, form=form)))
    first = next(place for place, line in enumerate(lines) if line.startswith("rewritten"))
    assert [line.removeprefix("rewritten").strip() for line in lines[first : first + 3]] == [
        "a reads the image's own levels as codes",
        "output channels of b, c are scaled",
        "the inputs of 2 layers are balanced by a Mul",
    ]


def with_float_layers(result: AccAutoResult, names: list[str]) -> AccAutoResult:
    """Return the result with layers of these names, all float."""
    layer = result.found.layers[0]
    found = replace(result.found, layers=tuple(replace(layer, name=name) for name in names))
    return replace(result, layers=replace(result.layers, found=found), skipped=tuple(names))


def shown_of(result: AccAutoResult, headline: Headline) -> list[str]:
    """Return the rows where another figure decides."""
    return rows_of(replace(result, comparison=replace(result.comparison, judged=headline)))


def test_unverified_models_of_an_interrupted_job_are_told_of(
    job: dict[str, AccAutoResult], capsys: pytest.CaptureFixture[str]
) -> None:
    met = job["met"]
    unchecked = replace(met.files, models=(), checked=None)
    said = "results/ is not verified; the same command goes on from here"
    told_of = replace(met, status="interrupted", files=unchecked)
    assert said in "\n".join(short(told(told_of, JobFacts()), capsys))
    verified = "\n".join(short(told(replace(met, status="interrupted"), JobFacts()), capsys))
    assert said not in verified


@pytest.mark.parametrize("width", range(20, 60))
def test_a_loss_is_not_parted_from_what_it_is_held_against(width: int) -> None:
    lines = wrapped("target not met: net on data, sqnr 60 -> 56.21, loss 3.794 dB >= 0", width)
    assert any("dB >= 0" in line for line in lines)
    assert max(map(len, lines)) <= width
