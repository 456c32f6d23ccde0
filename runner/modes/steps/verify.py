"""Verify: the written models opened again, and held against what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from runner.events import VERIFY
from runner.modes.context import Context
from runner.modes.files.check_files import Measured, check_files
from runner.targets.ascend.model_files import ModelPair, Written, note_warnings
from runner.targets.ascend.proof import Proof


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What the written models showed; nothing where there are none, or an interruption left them unchecked."""

    written: Written | None = None
    proof: Proof | None = None


def verify(pair: ModelPair | None, measured: Measured, job: Context, *, items: int) -> Checked:
    """Return what the written models show.

    Args:
        pair: the models; None where no plan was accepted.
        measured: what they shall be.
        job: runs them.
        items: how many that runs.

    Raises:
        VerificationError: a file is at fault, or they do not say the same.
    """
    if pair is None:
        return Checked()
    with job.clock.stage(VERIFY, items) as progress:
        written, proof = check_files(pair, measured, progress)
        job.warnings.warn(*note_warnings(written))
    return Checked(written, proof)
