"""What outputs of 8 bits mean for the figures: of which values KL is, and which answers differ by a tie alone."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import ConvertResult
from runner.wording import as_sentence, listed, say

_TITLE = "8-bit outputs"


def coarse_outputs(result: ConvertResult) -> Section:
    """Return the section."""
    coarse, ties = list(result.coarse_outputs), result.tied_answers
    changed = None if ties is None else result.comparison.answers_changed
    figures = [
        Figure(sentence=say("The loss is that against the QuantizeLinear/DequantizeLinear model as it was given."))
    ]
    if coarse:
        names = listed(coarse)
        phrase = say("the source rounds {names} to 8 bits, so SQNR compares values of 8 bits", names=names)
        if result.comparison.named("kl") is not None:
            phrase = say("the source rounds {names} to 8 bits, so KL and SQNR compare values of 8 bits", names=names)
        figures.append(
            Figure(key="outputs_8bit", value=coarse, title=_TITLE, phrase=phrase, sentence=as_sentence(phrase))
        )
    if changed is not None:
        tied = say(
            "{ties} of {changed} changed answers are ties: the source gives both classes its highest score",
            ties=ties,
            changed=changed,
        )
        told = tied if changed and (coarse or ties) else ""
        figures.append(Figure(key="answers_changed", value=changed))
        figures.append(Figure(key="tied_answers", value=ties, title=_TITLE, phrase=told, sentence=as_sentence(told)))
    return Section(name="coarse_outputs", figures=figures)
