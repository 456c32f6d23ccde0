"""docs/reference/exit-status.md: how commands end."""

from __future__ import annotations

from docs.handbook.markdown import code, page, table
from runner.app.check_deploy import CHECK_FAILED
from runner.app.leaving import INTERNAL_FAULT, INTERRUPTED, WRONG_INPUT
from runner.app.sweep.outcome import BUDGET, FAILED_SWEEP, MET, NOT_MET

STATUSES = {
    MET: "Done, and the target is met; or there is none, or the items are too few to tell. Of a sweep: all "
    "jobs are done, and one at least met its target.",
    INTERNAL_FAULT: "A fault of the program. What it prints belongs into a report of the fault.",
    WRONG_INPUT: "What was given is wrong: the command line, a file, a model, data. A sentence says what and where.",
    NOT_MET: "Done, and no plan meets the target, so no model is written; `quant-runner` says which came closest. Of a sweep: "
    "no job met its target.",
    CHECK_FAILED: "A written model is not what was measured, or ATC would refuse it. Of `quant-check-deploy` and "
    "`quant-compare-dump`: something was found.",
    FAILED_SWEEP: "A job of a sweep failed. The others' results are complete.",
    BUDGET: "`budget` ended the search; the best plan so far is written and checked.",
    INTERRUPTED: "Ctrl-C or SIGTERM; the best plan so far is written. The same command goes on where it ended.",
}


def status_page() -> str:
    """Return the page."""
    rows = [(code(str(number)), meaning) for number, meaning in sorted(STATUSES.items())]
    about = (
        "The same for every command, where it applies. `summary.json` and `events.jsonl` say how a job ended in words."
    )
    return page("Exit status", "docs/handbook/status_page.py", about, table(("status", "meaning"), rows))
