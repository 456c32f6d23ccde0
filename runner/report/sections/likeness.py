"""How like the float model's the answers and outputs are: agreement, KL divergence, SQNR, as far as they apply."""

from __future__ import annotations

from runner.evaluation.position_agreement import PositionAgreement
from runner.figure import Card, Figure, Section
from runner.modes.result import Comparison
from runner.wording import say

_PERCENT = 0.01


def likeness(comparison: Comparison) -> Section:
    """Return the section: agreement as a share, KL in nats, SQNR of the worst output in dB."""
    agreement, kl, sqnr = (_value(comparison, name) for name in ("agreement", "kl", "sqnr"))
    figures = []
    if agreement is not None:
        share = agreement * _PERCENT
        positions = isinstance(comparison.named("agreement"), PositionAgreement)
        below = say("of positions as before") if positions else say("of answers as before")
        figures.append(
            Figure(
                key="agreement",
                value=share,
                tracked="compare/agreement",
                title="agreement",
                phrase=f"{share:.2%} {below}",
                card=Card(say("agreement"), f"{share:.2%}", below),
            )
        )
    if kl is not None:
        figures.append(
            Figure(
                key="kl",
                value=kl,
                tracked="compare/kl",
                title="KL divergence",
                phrase=f"{kl:.3g} nats",
                card=Card(say("KL divergence"), f"{kl:.3g}", say("nats, from the float model's")),
            )
        )
    if sqnr is not None:
        which = say("of the worst output") if len(comparison.output_sums) > 1 else say("of the raw output")
        card = Card("SQNR", f"{sqnr:.1f} dB", which) if kl is None else None
        figures.append(Figure(key="sqnr_db", value=sqnr, tracked="compare/sqnr_db", card=card))
    return Section(name="likeness", figures=figures)


def _value(comparison: Comparison, name: str) -> float | None:
    metric = comparison.named(name)
    return None if metric is None else comparison.value(metric, comparison.quantized)
