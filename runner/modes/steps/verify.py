"""Verify: the written models opened again, and held against what was measured."""

from __future__ import annotations

from typing import Any

from runner.events import VERIFY
from runner.modes.context import Context
from runner.modes.files.check_files import check_files
from runner.modes.steps.written import WrittenResult
from runner.targets.target import Target


def verify(target: Target, written: WrittenResult, job: Context, *, items: int) -> Any | None:  # noqa: ANN401 - the target's own
    """Return what the target saw in the written models; None where no plan was accepted.

    Args:
        target: that they are written for.
        written: the models, and what they shall be.
        job: runs them.
        items: how many that runs.

    Raises:
        VerificationError: a file is at fault, or is not what was measured.
    """
    if not written.models:
        return None
    with job.clock.stage(VERIFY, items) as progress:
        checked = check_files(target, written.models, written.measured, progress)
        job.warnings.warn(*target.warnings(checked))
    return checked
