"""What the job takes: memory and time, from one model loaded and a few items timed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from runner.graph.model_file import weights_size
from runner.memory import available_bytes, peak_bytes
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.doctor.data import sampled
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.finding import Finding, ok, warning
from runner.modes.work_ahead import JobWork
from runner.rounded import rounded

_GB = 1e9
# Copies of the weights that a job holds at its peak, beside what this look at it took: the prepared model, its simulation, and
# the two that are written.
_COPIES = 4
# Seconds of an int8 simulation and of observing a float model, by those of the float model; of a start and a report.
_SIMULATED, _OBSERVED, _START = 1.6, 3.0, 2.0
# Over calibration's items, of which corrections take some.
_PASSES = 3
# Items of a part, seconds that it may take, and parts.
_TIMED, _TIMED_SECONDS, _PARTS = 16, 1.0, 3
# How far such a sum may be off.
_LOW, _HIGH = 0.7, 1.5


def look_at_memory(case: Examined) -> Iterator[Finding]:
    """Hold what the job may take against what there is."""
    free = available_bytes()
    needed = peak_bytes() + _COPIES * weights_size(case.source.graph)
    if free is None:
        return
    text = f"about {rounded(needed / _GB, 2)} GB of {rounded(free / _GB, 2)} GB that are free"
    if needed > free:
        yield warning(
            f"the job may take {text}",
            key="engine.callers",
            advice="Set engine.callers=1, free memory, or raise the limit (ulimit -v, a container).",
        )
        return
    yield ok(text)


def look_at_time(case: Examined) -> Iterator[Finding]:
    """Time a few items, and tell how long the whole job takes, as a range."""
    each = _seconds_an_item(case)
    low, high = (_START + share * each * items for share, items in zip((_LOW, _HIGH), _items(case), strict=True))
    if isinstance(case.options, AccAutoOptions):
        text = f"{duration(low)} where every layer in int8 meets the target, up to {duration(high)} where all is tried"
    else:
        text = f"{duration(low)} to {duration(high)}"
    yield ok(f"{text}; {rounded(1000 * each, 2)} ms an item on this machine")


def _seconds_an_item(case: Examined) -> float:
    """Return wall seconds for an item in float, read and run by as many callers as the job has; the quickest of some parts."""
    count = max(1, min(_TIMED, int(_TIMED_SECONDS / max(case.seconds, 1e-6))))
    # Not those that have been read before, which are remembered.
    part = case.split.search.at(range(1, len(case.split.search), 2) if len(case.split.search) > 1 else range(1))
    part = sampled(part, count * _PARTS)
    quickest = math.inf
    for first in range(0, len(part), count):
        some = part.at(range(first, min(first + count, len(part))))
        start = time.perf_counter()
        for _ in case.engine.map(case.session, some, lambda index, arrays: None):
            pass
        quickest = min(quickest, (time.perf_counter() - start) / len(some))
    return quickest


def _items(case: Examined) -> tuple[float, float]:
    """Return float items that the work is worth, at least and at most."""
    options, items = case.options, len(case.split.search)
    verified = case.options.target.check_steps(options.verify, case.split.report.indices)
    both = items * (1 + _SIMULATED) + 2 * _SIMULATED * verified
    if not isinstance(options, AccAutoOptions):
        return both, both
    parts, layers = case.split, len(case.layers.layers)
    calibrated = 0 if parts.calibration is None else _PASSES * len(parts.calibration)
    least = both + _OBSERVED * calibrated
    most = JobWork(options, parts, layers, _PASSES, checked=0, kept=0).to_fall_back()
    return least, least + _SIMULATED * most


def duration(seconds: float) -> str:
    """Return seconds in words: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 100:
        return f"{rounded(seconds, 2)} s"
    return f"{rounded(seconds / 60, 2)} min" if seconds < 6000 else f"{rounded(seconds / 3600, 2)} h"
