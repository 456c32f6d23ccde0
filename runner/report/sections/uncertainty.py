"""What the loss says of other items than these."""

from __future__ import annotations

import math
from typing import Any

from runner.evaluation.paired_shares import LEVEL
from runner.evaluation.uncertainty import Conclusion, Interval
from runner.figure import Figure, Line, Section
from runner.wording import as_sentence, say

_MANY = 1_000_000
_ON_OTHERS = {
    "met": "met on others too",
    "not_met": "missed on others too",
    "undecided": "undecided on others",
}
_VERDICT = {"met": say("met"), "not_met": say("not met"), "undecided": say("undecided")}


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
    phrase = _phrase(interval, items, verdict)
    figures = (
        *(() if verdict is None else (Figure(key="target_verdict", value=verdict),)),
        Figure(key="loss_interval", value=_told(interval), title="loss", phrase=phrase, sentence=as_sentence(phrase)),
        *(
            Figure(value=limit, tracked=f"interval/{end}")
            for end, limit in (("low", interval.low), ("high", interval.high))
            if math.isfinite(limit)
        ),
    )
    return Section(name="uncertainty", figures=figures, brief=(Line("uncertainty", _brief(interval, items, verdict)),))


def _told(interval: Interval) -> dict[str, Any]:
    """Return the interval for summary.json, without limits that nothing sets."""
    limits = {"low": interval.low, "high": interval.high}
    told: dict[str, Any] = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
    told |= {"level": LEVEL, "method": interval.method}
    if interval.one_sided:
        told |= {"one_sided": True, "at_least": interval.at_least}
    if interval.items_to_settle is not None:
        told["items_to_settle"] = interval.items_to_settle
    if interval.unsure:
        told["unsure"] = interval.unsure
    return told


def _phrase(interval: Interval, items: int, verdict: Conclusion | None) -> str:
    text = interval.said(not_met=verdict == "not_met")
    if verdict is None:
        return text
    text = say("{interval}; target on items not seen: {verdict}", interval=text, verdict=_VERDICT[verdict])
    if verdict == "undecided" and (interval.items_to_settle or 0) > items:
        return say("{text} (about {count} items like these would tell)", text=text, count=interval.items_to_settle)
    return text


def _brief(interval: Interval, items: int, verdict: Conclusion | None) -> str:
    """Return the same in a line."""
    said, needed = interval.said(not_met=verdict == "not_met"), interval.items_to_settle or 0
    told = said if interval.unsure else f"{said} from {items} items"
    if verdict == "undecided" and needed > items:
        return f"{told}; {needed if needed <= _MANY else 'more than a million'} would decide"
    return told if verdict is None else f"{told}: {_ON_OTHERS[verdict]}"
