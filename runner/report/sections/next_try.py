"""What to try next where the result is not the one that was wanted: options to add to the same command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from runner.figure import Line, Section
from runner.modes.result import AccAutoResult

_TITLE = "next"
_PAGE = "docs/howto/target-missed.md"
# Preset -> the stronger ones, and what each does.
_BEST = "quant=best: every correction from the start, which takes longer"
_STRONGER = {
    "amct": ("quant=fast: corrected biases, and a better choice of float layers", _BEST),
    "fast": (_BEST,),
    "best": ("observer=hfmg or observer=percentile: ranges of activations found otherwise",),
}
_DIGITS = 2


def next_try(result: AccAutoResult, preset: str) -> Section:
    """Return the section; empty where there is nothing to mend.

    Args:
        result: of the job.
        preset: name of its ``quant``; empty where it is not known.
    """
    if result.status == "not_met":
        told = tuple(_for_a_missed_target(result, preset))
    elif result.status == "budget":
        told = ("the same command with a larger budget.minutes or budget.evaluations goes on from here",)
    elif result.status == "interrupted" and result.search.best is not None and not result.models:
        told = ("results/ is not verified; the same command goes on from here",)
    else:
        told = ()
    return Section(name="next_try", brief=[Line("" if place else _TITLE, text) for place, text in enumerate(told)])


def _for_a_missed_target(result: AccAutoResult, preset: str) -> Iterator[str]:
    yield "doctor before the same options: is the data what the model takes?"
    if result.from_record:
        yield "without record=: calibrated anew, with corrections, and single layers left float"
    else:
        yield from _STRONGER.get(preset, (_BEST,))
    if result.target_loss is not None:
        kept = just_above(result.search.closest.loss)
        yield f"target_loss={kept:g}: what the closest plan keeps"
    yield f"{_PAGE} has the rest, the likeliest first"


def just_above(loss: float) -> float:
    """Return a number of two digits above a loss: as a target it is kept, for that is strict."""
    if not math.isfinite(loss) or loss <= 0:
        return 0.01
    exact = Decimal(str(loss))
    step = Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1)
    return float((exact // step + 1) * step)
