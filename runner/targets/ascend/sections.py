"""Of the files for an Ascend NPU: whether they are what was measured, and how to go on with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.figure import Figure, Line, Marked, NamedFile, Section, Step
from runner.job_folder import JobFolder
from runner.lint.finding import gathered
from runner.lint.whole_model import OPEN_SIZES
from runner.printable import printable
from runner.targets.ascend.atc_commands import atc_command, check_command, compare_command
from runner.targets.ascend.check import Checked
from runner.targets.ascend.gaps import Gaps
from runner.targets.ascend.model_files import Written
from runner.targets.ascend.proof import Proof
from runner.targets.ascend.proof_sentences import PRECISION_IN_SHORT, device_metric, sentences, verification
from runner.wording import listed, say

_MOST_NOTES = 3
_CHECK_TOOL = "quant-check-deploy"
_CHECK = say("To let ATC check its operators, on a host with or without an NPU:")


def deployed(checked: Checked | None) -> Section:
    """Return whether the deploy model is the measured one; without figures where none was written."""
    written, proof = (None, None) if checked is None else (checked.written, checked.proof)
    # On the page the proof comes first, in the terminal it fills the screen and comes last.
    said = [] if proof is None else sentences(proof)
    figures = [Figure(sentence=sentence) for sentence in said]
    figures += [] if written is None or proof is None else _elsewhere(written, proof.gaps)
    figures += [] if proof is None else _verified(proof, said)
    heading = say("Is the deploy model the measured one?") if figures else ""
    brief = [] if written is None or proof is None else _brief(written, proof)
    return Section(name="deployed", heading=heading, place="proof", figures=figures, brief=brief)


def _brief(written: Written, proof: Proof) -> list[Line]:
    """Return the proof, what a chip may change and what ATC has to be told, each in a line."""
    same, device = proof.sameness, proof.device
    lines = [
        Line("proof", f"the deploy file gives the bits that were measured: {same.identical} of {same.items} items")
    ]
    if device is not None:
        lines.append(
            Line(
                "on a chip",
                f"{device.metric} {device.quantized:.4g} -> {device.device:.4g} with {PRECISION_IN_SHORT[device.precision]} "
                f"(simulated, {device.items} items)",
            )
        )
    refused = sum(note.severity == "unsupported" for note in written.notes)
    mended = [note for note in written.notes if note.severity != "unsupported"]
    shapes = [note for note in mended if note.expected == OPEN_SIZES]
    if refused:
        lines.append(Line("for atc", f"{refused} {_nodes(refused)} it may not take: {_CHECK_TOOL} tells which"))
    if shapes:
        lines.append(Line("for atc", "the input's size is open, so the command below has --input_shape"))
    others = gathered(note for note in mended if note.expected != OPEN_SIZES)
    if others:
        more = f"; and {len(others) - 1} more: {_CHECK_TOOL}" if len(others) > 1 else ""
        lines.append(Line("for atc", f"note: {others[0]}{more}"))
    return lines


def _nodes(count: int) -> str:
    return "node that" if count == 1 else "nodes that"


def _elsewhere(written: Written, changed: Gaps) -> list[Figure]:
    """Return what another execution of the quantized model would change, and what ATC says to the deploy model."""
    optimised, kernels = changed.level, changed.int8
    figures = [] if optimised is None else [Figure(key="ort_level_gap", value=optimised)]
    gaps = say("not known: no output is a tensor of numbers")
    if optimised is not None:
        gaps = say("{share:.1%} of a batch's answers change with onnxruntime's optimisations", share=optimised)
    if kernels is not None:
        figures.append(Figure(key="cpu_int8_gap", value=kernels))
        gaps = say("{gap}, {share:.1%} with the CPU's own int8 kernels", gap=gaps, share=kernels)
    # A model can hold one unsupported operator many times; quant-check-deploy tells each.
    notes = gathered(sorted(written.notes, key=lambda note: note.severity == "warning"))
    more = len(notes) - _MOST_NOTES
    shown = [*notes[:_MOST_NOTES], *([say("and {count} more", count=more)] if more > 0 else [])]
    told = listed(shown, "\n") if shown else say("nothing that ATC would refuse or misread")
    return [
        *figures,
        Figure(title="elsewhere", phrase=gaps, sentence=say("elsewhere: {gaps}", gaps=gaps)),
        Figure(title="deploy check", phrase=told, sentence=say("deploy check: {notes}", notes=told)),
    ]


def _verified(proof: Proof, said: Sequence[str]) -> list[Figure]:
    figures = [
        Figure(key="verify", value=verification(proof), title="verified", phrase="\n".join(map(printable, said)))
    ]
    if proof.device is not None:
        figures.append(Figure(key="device_metric", value=device_metric(proof.device)))
    return figures


def to_the_chip(checked: Checked | None, folder: JobFolder) -> Section:
    """Return the ``atc`` lines for the deploy model."""
    if checked is None:
        return Section(name="to_the_chip")
    deploy, shapes = checked.written.pair.deploy, checked.written.input_shapes
    path, within = folder.path(deploy), Path(deploy)
    steps = (
        Step(_CHECK, check_command(path), (_CHECK,), check_command(within)),
        Step(
            "For the NPU (set --soc_version to your chip):",
            atc_command(path, shapes),
            (say("For the NPU, from this folder (set "), Marked("--soc_version", "code"), say(" to your chip):")),
            atc_command(within, shapes),
            brief=True,
        ),
    )
    files = (NamedFile("deploy", path), NamedFile("fake-quant", folder.path(checked.written.pair.fake_quant)))
    heading = say("Result and next steps")
    return Section(name="to_the_chip", heading=heading, place="result", steps=steps, files=files)


def against_a_dump(kept: Path | None) -> Section:
    """Return the command that compares a chip's dump with the values that were kept."""
    if kept is None:
        return Section(name="against_a_dump")
    step = Step("To hold a chip's dump against this run:", compare_command(kept), brief=True)
    return Section(name="against_a_dump", steps=(step,))
