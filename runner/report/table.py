"""A result as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.modes.result import AccAutoResult, ConvertResult
from runner.report.proof import sentences
from runner.report.wording import (
    STATUS,
    coarse_phrases,
    input_phrases,
    items_phrase,
    loss_phrase,
    rewriting_phrases,
    uncertainty_phrases,
    written_phrases,
)
from runner.search.end_to_end import LossContributions
from runner.targets.ascend.atc_commands import atc_command, check_command, compare_command

Result = AccAutoResult | ConvertResult

_MOST_FALLBACK = 8
_MOST_DAMAGE = 5
_INDENT = " " * 8


def summary_table(result: Result, summary: Mapping[str, Any]) -> RenderableType:
    """Return what a user wants to know first, and where the files are."""
    table = Table(
        title=_title(result, summary), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(result, summary):
        # Text, not str: a name from the model may hold brackets, which rich would read as markup.
        table.add_row(name, Text(value))
    return Group(table, _files(result))


def deploy_lines(result: Result) -> list[str]:
    """Return how to go on with the deploy model; nothing where none was written. Never wrapped: it is to be copied."""
    lines = []
    if result.written is not None:
        deploy = result.folder.path(result.written.pair.deploy)
        lines += [
            "",
            "To let ATC check its operators, on a host with or without an NPU:",
            f"  {check_command(deploy)}",
            "For the NPU (set --soc_version to your chip):",
            f"  {atc_command(deploy, result.written.input_shapes)}",
        ]
    if result.intermediates is not None:
        lines += ["", "To hold a chip's dump against this run:", f"  {compare_command(result.intermediates)}"]
    return lines


def sweep_table(jobs: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a row a job: label, status, headline figures; below it, why a job failed."""
    table = Table(title="sweep", title_justify="left")
    table.add_column("job", no_wrap=True)
    for heading in ("status", "loss", "int8 layers", "quantized", "float", "seconds"):
        table.add_column(heading)
    for job in jobs:
        summary = job.get("summary") or {}
        seconds = summary.get("seconds", {}).get("total")
        layers = f"{summary['layers_int8']} of {summary['layers_total']}" if "layers_int8" in summary else ""
        cells = (
            str(job["label"]),
            str(job["status"]),
            _number(summary.get("loss")),
            layers,
            _number(summary.get("quantized_metric")),
            _number(summary.get("float_metric")),
            "" if seconds is None else f"{seconds:.1f}",
        )
        table.add_row(*map(Text, cells))
    # Below the table, where a narrow terminal does not cut them to pieces.
    return Group(table, *(Text(f"{job['label']}: {job['note']}") for job in jobs if job.get("note")))


def prediction_lines(result: ConvertResult) -> list[str]:
    """Return the sample's lines for the configured image; none where the model is no classifier."""
    if result.prediction is None:
        return []
    lines = []
    for title, (index, probability) in (
        ("Origin Model Prediction:", result.prediction.before),
        ("Quantized Model Prediction:", result.prediction.after),
    ):
        lines += [title, f"{_INDENT}category index: {index}", f"{_INDENT}category prob: {probability:.3f}"]
    return lines


def _title(result: Result, summary: Mapping[str, Any]) -> Text:
    return Text.assemble(f"{summary['model']} on {summary['dataset']}: ", STATUS[result.status])


def _rows(result: Result, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    metric = result.comparison.headline
    rows = [
        (
            metric.name,
            f"{summary['float_metric']:.4g} -> {summary['quantized_metric']:.4g}  ({items_phrase(result)})",
        ),
        ("loss", loss_phrase(result, summary)),
        *[("", phrase) for phrase in uncertainty_phrases(summary)],
        *[("" if place else "input values", phrase) for place, phrase in enumerate(input_phrases(summary))],
        (
            "int8 layers",
            f"{summary['layers_int8']} of {summary['layers_total']}, {summary['macs_int8_share']:.1%} of MACs",
        ),
        ("left float", _fallback(summary["fallback"])),
    ]
    rows += [("rewritten" if place == 0 else "", phrase) for place, phrase in enumerate(rewriting_phrases(summary))]
    if summary["tensors_quantized"]:
        rows.append(("int8 tensors", f"{summary['tensors_quantized']} that other nodes read"))
    if result.found.left_alone:
        kinds = ", ".join(sorted({item.op_type for item in result.found.left_alone}))
        rows.append(("left alone", f"{len(result.found.left_alone)} nodes ({kinds}); the log gives each reason"))
    if "agreement" in summary:
        rows.append(("agreement", f"{summary['agreement']:.2%} of answers as before"))
    if "kl" in summary:
        rows.append(("KL divergence", f"{summary['kl']:.3g} nats"))
    rows += [("8-bit outputs" if place == 0 else "", phrase) for place, phrase in enumerate(coarse_phrases(summary))]
    if isinstance(result, AccAutoResult) and result.from_record:
        rows.append(("scales", "from the record; nothing was calibrated, ranked or searched"))
    if "repaired" in summary:
        rows.append(("repaired", f"{len(summary['repaired'])} of the int8 layers"))
    if isinstance(result, AccAutoResult) and result.damage is not None:
        rows.append(("most damage", _damage(result.damage)))
    if isinstance(result, AccAutoResult) and result.search.best is None:
        plan = result.search.closest
        rows.append(
            ("closest plan", f"loss {plan.loss:.4g} with {len(plan.plan.fallback)} layers float; no model is written")
        )
    if result.written is not None:
        rows += written_phrases(result.written)
    if result.proof is not None:
        rows.append(("verified", "\n".join(sentences(result.proof))))
    evaluations = summary["evaluations"]
    seconds = summary["seconds"]
    partial = f" and {evaluations['partial']} partial" if evaluations["partial"] else ""
    work = (
        f"{seconds['total']:.1f} s, of which model work {seconds['model_work']:.1f} s "
        f"in {evaluations['full']} full{partial} evaluations"
    )
    return [*rows, ("time", work), ("memory", f"{summary['peak_rss_mb']:.0f} MiB at most")]


def _fallback(names: Sequence[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:_MOST_FALLBACK])
    return shown if len(names) <= _MOST_FALLBACK else f"{shown} and {len(names) - _MOST_FALLBACK} more"


def _damage(damage: LossContributions) -> str:
    """Return the units that do most damage, with how much of it each alone does."""
    worst = [(unit, value) for unit, value in damage.worst_first[:_MOST_DAMAGE] if value > 0]
    shown = ", ".join(f"{' + '.join(unit.layers)} {damage.share(value):.0%}" for unit, value in worst)
    return f"{shown or 'none'}  ({damage.measure} on {len(damage.items)} items)"


def _files(result: Result) -> Text:
    root: Path = result.folder.root
    lines = [f"\nFiles in {root}:"]
    lines += [f"  {path.relative_to(root)}" for path in sorted(result.folder.files)]
    return Text("\n".join(lines))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
