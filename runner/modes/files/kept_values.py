"""Intermediate values as a part of a job: of which items, and that they never cost the job its result."""

from __future__ import annotations

import logging
from pathlib import Path

from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import ConfigError, RunnerError
from runner.events import WRITE
from runner.job_folder import JobFolder
from runner.modes.context import Context
from runner.targets.target import Kept, Target
from runner.wording import say

logger = logging.getLogger(__name__)


def kept_items(part: Subset, wanted: bool, count: int) -> Subset:
    """Return the items whose intermediate values are to be kept, evenly spaced over a part; none unless ``wanted``.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    total = len(part.indices)
    chosen = evenly_spaced(count, total, key="intermediates.count")
    return part.at(chosen if wanted else ())


def require_kept(wanted: bool, target: Target) -> None:
    """Raise a ConfigError where values are to be kept of which the target has none."""
    if wanted and target.keep is None:
        raise ConfigError(
            f"keep_intermediates: target={target.name} has no values to keep: they are those of a chip's deploy file. "
            "Leave it out, or set target=ascend."
        )


def write_kept(kept: Kept, target: Target, folder: JobFolder, job: Context) -> Path | None:
    """Write the intermediate values of items as a stage and return their folder; None where there are no items.

    The job's result is whole by now. A fault of ours takes these values away, is told, and leaves the result.

    Raises:
        OutputError: they cannot be written, or do not fit on the disk.
    """
    if not len(kept.items) or target.keep is None:
        return None
    with job.clock.stage(WRITE, 2 * len(kept.items), "intermediate values") as progress:
        try:
            return target.keep(kept, folder, progress)
        except RunnerError:
            raise
        except Exception as error:
            logger.debug("intermediate values", exc_info=True)
            what = f"{type(error).__name__}: {error}"
            job.warnings.warn(
                say(
                    "keep_intermediates: the values could not be written, by a fault of this program ({what}); all "
                    "else is as it would be without them. Please report this, with the model.",
                    what=what,
                )
            )
    return None
