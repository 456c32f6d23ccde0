"""What outputs of 8 bits mean for the figures: of which values KL is, and which answers differ by a tie alone."""

from __future__ import annotations

from runner.figure import Figure, Section
from runner.modes.result import ConvertResult

_TITLE = "8-bit outputs"


def coarse_outputs(result: ConvertResult) -> Section:
    """Return the section."""
    coarse, ties = list(result.coarse_outputs), result.tied_answers
    changed = None if ties is None else result.comparison.answers_changed
    figures = [Figure(sentence="The loss is that against the QuantizeLinear/DequantizeLinear model as it was given.")]
    if coarse:
        compared = "SQNR compares" if result.comparison.named("kl") is None else "KL and SQNR compare"
        phrase = f"the source rounds {', '.join(coarse)} to 8 bits, so {compared} values of 8 bits"
        figures.append(
            Figure(key="outputs_8bit", value=coarse, title=_TITLE, phrase=phrase, sentence=_sentence(phrase))
        )
    if changed is not None:
        phrase = f"{ties} of {changed} changed answers are ties: the source gives both classes its highest score"
        phrase = phrase if changed and (coarse or ties) else ""
        figures.append(Figure(key="answers_changed", value=changed))
        figures.append(Figure(key="tied_answers", value=ties, title=_TITLE, phrase=phrase, sentence=_sentence(phrase)))
    return Section(name="coarse_outputs", figures=figures)


def _sentence(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}." if phrase else ""
