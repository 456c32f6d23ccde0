"""What the exit statuses of a sweep's jobs make of the sweep."""

from __future__ import annotations

from collections.abc import Sequence

MET, NOT_MET, FAILED_SWEEP, BUDGET = 0, 3, 5, 6
# A job that ends with one of these has a result; a missed target or a spent budget is no failure of a sweep.
NO_FAILURE = (MET, NOT_MET, BUDGET)


def sweep_status(statuses: Sequence[int | None]) -> int:
    """Return the sweep's exit status.

    Args:
        statuses: of its jobs; None for one that did not run.
    """
    if any(status not in NO_FAILURE for status in statuses):
        return FAILED_SWEEP
    if not statuses or MET in statuses:
        return MET
    return BUDGET if BUDGET in statuses else NOT_MET
