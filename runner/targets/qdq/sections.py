"""Of the Q/DQ file: whether it is what was measured, and how to go on with it."""

from __future__ import annotations

import shlex
from pathlib import Path

from runner.figure import Figure, Line, NamedFile, Section, Step
from runner.job_folder import JobFolder
from runner.printable import printable
from runner.targets.qdq.verify import Checked
from runner.wording import Said, listed, say

_MOST_NAMES = 3


def deployed(checked: Checked | None) -> Section:
    """Return whether the written file is the measured one, and on which kernels it runs; without figures where none was."""
    if checked is None:
        return Section(name="deployed")
    figures = [Figure(key="verify", value=_verification(checked))]
    if checked.ort_level_gap is not None:
        figures.append(Figure(key="ort_level_gap", value=checked.ort_level_gap))
    figures.append(Figure(key="kernels", value=_kernels(checked), title="kernels", phrase=_said_of(checked)))
    said = sentences(checked)
    figures += [Figure(sentence=sentence) for sentence in said]
    figures.append(Figure(title="verified", phrase="\n".join(map(printable, said))))
    heading = say("Is the written model the measured one?")
    return Section(name="deployed", heading=heading, place="proof", figures=figures, brief=_brief(checked))


def _brief(checked: Checked) -> list[Line]:
    """Return the proof and what it holds for, each in a line."""
    items = f": {checked.items} of {checked.items} items" if checked.items else ""
    lines = [Line("proof", f"the file, loaded again, gives the scores that were measured{items}")]
    lines.append(Line("runs on", f"integer kernels: {checked.integer_kernels} layers and averages, in onnxruntime"))
    if checked.saturating:
        lines.append(Line("elsewhere", "other machines may give other answers: this one's int8 kernels saturate"))
    return lines


def sentences(checked: Checked) -> list[Said]:
    """Return each figure in a sentence, the most telling first."""
    lines = []
    if checked.items:
        lines.append(
            say(
                "The file, loaded again in a default onnxruntime session, gives the measured scores for {items} of {items} "
                "items, bit for bit.",
                items=checked.items,
            )
        )
    lines += [
        say(
            "The file holds the quantized layers number for number, weights as int8 initializers, and loads at every level of "
            "optimisation."
        ),
        say(
            "A default session runs {count} layers and averages on integer kernels.",
            count=checked.integer_kernels,
        ),
    ]
    if checked.ort_level_gap is not None:
        lines.append(
            say(
                "{share:.1%} of a batch's answers change without onnxruntime's optimisations.",
                share=checked.ort_level_gap,
            )
        )
    if checked.record_matches:
        lines.append(say("The record, read back, has the file's scales, bit for bit."))
    if checked.saturating:
        lines.append(
            say(
                "This machine's int8 kernels cannot hold the sums of 8-bit weights ({layers}); other machines may give other "
                "answers.",
                layers=listed(checked.saturating),
            )
        )
    return lines


def warnings(checked: Checked) -> list[Said]:
    """Return what the user should know of the file before deploying it."""
    found = []
    if checked.rewritten:
        found.append(
            say(
                "onnxruntime quantizes weights of float layers by a rule of its own ({layers}); what it makes of them is what "
                "was measured.",
                layers=_some(checked.rewritten),
            )
        )
    return found


def next_steps(checked: Checked | None, folder: JobFolder, runtime: str) -> tuple[Section, ...]:
    """Return how to run the file."""
    if checked is None:
        return (Section(name="to_the_runtime"),)
    path, within = folder.path(checked.file), Path(checked.file)
    step = Step(_WHY[runtime], _command(path, runtime), (_WHY[runtime],), _command(within, runtime), brief=True)
    files, heading = (NamedFile("Q/DQ model", path),), say("Result and next steps")
    return (Section(name="to_the_runtime", heading=heading, place="result", steps=(step,), files=files),)


_WHY = {
    "onnxruntime": say("To run the model as it was measured:"),
    "tensorrt": say("To build a TensorRT engine that takes the file's scales:"),
}


def _command(path: Path, runtime: str) -> str:
    model = shlex.quote(str(path))
    if runtime == "tensorrt":
        return f"trtexec --onnx={model} --int8 --saveEngine={shlex.quote(str(path.with_suffix('.engine')))}"
    script = "import sys, onnxruntime as ort; ort.InferenceSession(sys.argv[1])"
    return f"python -c {shlex.quote(script)} {model}"


def _verification(checked: Checked) -> dict[str, object]:
    return {
        "items": checked.items,
        "identical_outputs_share": 1.0 if checked.items else None,
        "record_matches_deploy": checked.record_matches,
    }


def _kernels(checked: Checked) -> dict[str, object]:
    return {"integer": checked.integer_kernels, "float": list(checked.float_layers), "counts": dict(checked.kernels)}


def _said_of(checked: Checked) -> str:
    floats = checked.float_layers
    more = f", {len(floats)} in float ({_some(floats)})" if floats else ""
    return f"{checked.integer_kernels} layers and averages on integer kernels of onnxruntime{more}"


def _some(names: tuple[str, ...]) -> str:
    shown = listed(names[:_MOST_NAMES])
    if len(names) <= _MOST_NAMES:
        return shown
    return say("{names} and {count} more", names=shown, count=len(names) - _MOST_NAMES)
