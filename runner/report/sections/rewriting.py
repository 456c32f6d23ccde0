"""What was done to the float model, and what stands before layers, for the sake of their int8 form."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.graph.rewriting import Rewriting
from runner.record import QuantizedLayers
from runner.wording import listed, say


def rewriting(done: Rewriting, gap: float, form: QuantizedLayers) -> Section:
    """Return the section.

    Args:
        done: to the float model.
        gap: how far that moved its outputs, relative to the largest.
        form: of the layers.
    """
    pixels, equalized = list(done.pixels), list(done.exponents)
    balanced = [name for name, layer in form.layers.items() if layer.record.balance_factors]
    phrases = [say("{layer} reads the image's own levels as codes", layer=name) for name in pixels]
    if equalized:
        phrases.append(say("output channels of {layers} are scaled", layers=listed(equalized)))
    if balanced:
        phrases.append(say("the inputs of {count} layers are balanced by a Mul", count=len(balanced)))
    figures = (
        Figure(key="rewriting_gap", value=gap),
        Figure(key="rewritten", value={"pixels": pixels, "equalized": equalized}),
        Figure(key="balanced", value=balanced),
        *(
            Figure(title="rewritten", phrase=text, sentence=say("For the int8 form {text}.", text=text))
            for text in phrases
        ),
    )
    return Section(name="rewriting", figures=figures)
