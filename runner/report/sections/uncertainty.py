"""What the loss says of other items than these."""

from __future__ import annotations

from typing import Any

from runner.evaluation.uncertainty import LEVEL, Conclusion, Interval
from runner.figure import Figure, Section

_VERDICT = {"met": "met", "not_met": "not met", "undecided": "undecided"}


def uncertainty(interval: Interval | None, items: int, target: float | None = None) -> Section:
    """Return the section; without figures where there is no interval.

    Args:
        interval: of the loss.
        items: how many it was measured on.
        target: what the loss was to stay below.
    """
    if interval is None:
        return Section(name="uncertainty")
    verdict = None if target is None else interval.verdict(target)
    told: dict[str, Any] = {
        "low": interval.low,
        "high": interval.high,
        "level": LEVEL,
        "method": interval.method,
    }
    if interval.items_to_settle is not None:
        told["items_to_settle"] = interval.items_to_settle
    phrase = _phrase(interval, items, verdict)
    figures = (
        *(() if verdict is None else (Figure(key="target_verdict", value=verdict),)),
        Figure(key="loss_interval", value=told, title="loss", phrase=phrase, sentence=f"{phrase}."),
        Figure(value=interval.low, tracked="interval/low"),
        Figure(value=interval.high, tracked="interval/high"),
    )
    return Section(name="uncertainty", figures=figures)


def _phrase(interval: Interval, items: int, verdict: Conclusion | None) -> str:
    text = f"{LEVEL:.0%} interval {interval.low:.3g} to {interval.high:.3g}"
    if verdict is None:
        return text
    text += f"; target on items not seen: {_VERDICT[verdict]}"
    if verdict == "undecided" and (interval.items_to_settle or 0) > items:
        text += f" (about {interval.items_to_settle} items like these would tell)"
    return text
