"""What a result means in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.lint.finding import gathered
from runner.modes.result import AccAutoResult, ConvertResult
from runner.targets.ascend.model_files import Written

Result = AccAutoResult | ConvertResult

# Status -> what it means, and the colour to say it in.
STATUS = {
    "met": ("target met", "green"),
    "not_met": ("target not met", "red"),
    "undecided": ("target met on the search's items, undecided on those kept for the report", "yellow"),
    "converted": ("converted", "green"),
    "interrupted": ("interrupted; the best plan so far", "yellow"),
    "budget": ("the budget is spent; the best plan so far", "yellow"),
}
_MOST_NOTES = 3
_VERDICT = {"met": "met", "not_met": "not met", "undecided": "undecided"}


def items_phrase(result: Result) -> str:
    """Return what the final figures were measured on."""
    items = f"{result.comparison.items} items"
    return f"{items} that the search of {result.source.search_items} never saw" if result.comparison.held_out else items


def loss_phrase(result: Result, summary: Mapping[str, Any]) -> str:
    """Return the loss in its unit, and what was allowed."""
    text = f"{summary['loss']:.4g} {result.comparison.headline.unit}"
    if isinstance(result, ConvertResult):
        return text
    return (
        f"{text}; metric_eval decides"
        if result.target_loss is None
        else f"{text}; allowed below {result.target_loss:g}"
    )


def input_phrases(summary: Mapping[str, Any]) -> list[str]:
    """Return what reaches the model's inputs: the values of each, and those that are fixed."""
    seen = summary.get("inputs", {})
    phrases = [
        f"{name} {v['min']:.4g} to {v['max']:.4g}, mean {v['mean']:.4g} ({v['items']} items)"
        for name, v in seen.items()
    ]
    phrases += [f"chosen: {text}" for text in summary.get("chosen", ())]
    return phrases + [f"{name} fixed at {value}" for name, value in summary.get("constants", {}).items()]


def rewriting_phrases(summary: Mapping[str, Any]) -> list[str]:
    """Return what was done to the float model, and what stands before layers, for the sake of their int8 form."""
    rewritten = summary.get("rewritten", {"pixels": (), "equalized": ()})
    phrases = [f"{name} reads the image's own levels as codes" for name in rewritten["pixels"]]
    if rewritten["equalized"]:
        phrases.append(f"output channels of {', '.join(rewritten['equalized'])} are scaled")
    if summary.get("balanced"):
        phrases.append(f"the inputs of {len(summary['balanced'])} layers are balanced by a Mul")
    return phrases


def coarse_phrases(summary: Mapping[str, Any]) -> list[str]:
    """Return what outputs of 8 bits mean for the figures: of which values KL is, and which answers differ by a tie alone."""
    phrases = []
    coarse, differing = summary.get("outputs_8bit", ()), summary.get("answers_changed", 0)
    if coarse:
        figures = "KL and SQNR compare" if "kl" in summary else "SQNR compares"
        phrases.append(f"the source rounds {', '.join(coarse)} to 8 bits, so {figures} values of 8 bits")
    if differing and (coarse or summary["tied_answers"]):
        ties = f"{summary['tied_answers']} of {differing} changed answers are ties"
        phrases.append(f"{ties}: the source gives both classes its highest score")
    return phrases


def uncertainty_phrases(summary: Mapping[str, Any]) -> list[str]:
    """Return what the loss says of other items than these."""
    interval = summary.get("loss_interval")
    if interval is None:
        return []
    text = f"{interval['level']:.0%} interval {interval['low']:.3g} to {interval['high']:.3g}"
    if "target_verdict" in summary:
        text += f"; target on items not seen: {_VERDICT[summary['target_verdict']]}"
        if summary["target_verdict"] == "undecided" and interval.get("items_to_settle", 0) > summary["samples"]:
            text += f" (about {interval['items_to_settle']} items like these would tell)"
    return [text]


def written_phrases(written: Written) -> list[tuple[str, str]]:
    """Return what another execution of the quantized model would change, and what ATC says to the deploy model."""
    gaps = "not known: no output is a tensor of numbers"
    if written.ort_level_gap is not None:
        gaps = f"{written.ort_level_gap:.1%} of a batch's answers change with onnxruntime's optimisations"
    if written.cpu_int8_gap is not None:
        gaps += f", {written.cpu_int8_gap:.1%} with the CPU's own int8 kernels"
    # A model can hold one unsupported operator many times; quant-check-deploy tells each.
    notes = gathered(sorted(written.notes, key=lambda note: note.severity == "warning"))
    more = len(notes) - _MOST_NOTES
    told = "\n".join([*notes[:_MOST_NOTES], *([f"and {more} more"] if more > 0 else [])])
    return [("elsewhere", gaps), ("deploy check", told or "nothing that ATC would refuse or misread")]
