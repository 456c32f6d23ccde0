"""The answer for one image, before and after, in the lines of AMCT's sample."""

from __future__ import annotations

from runner.figure import Line, Section
from runner.modes.result import Prediction

_INDENT = " " * 8


def prediction(answers: Prediction | None) -> Section:
    """Return the section; empty where the model is no classifier."""
    if answers is None:
        return Section(name="prediction")
    lines = []
    for title, (category, probability) in (
        ("Origin Model Prediction:", answers.before),
        ("Quantized Model Prediction:", answers.after),
    ):
        lines += [title, f"{_INDENT}category index: {category}", f"{_INDENT}category prob: {probability:.3f}"]
    (before, sure), (after, now) = answers.before, answers.after
    said = f"{answers.image}: class {before} ({sure:.3f}) before, class {after} ({now:.3f}) after"
    return Section(name="prediction", lines=lines, brief=(Line("one answer", said),))
