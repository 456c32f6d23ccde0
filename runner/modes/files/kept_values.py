"""Intermediate values as a part of a job: of which items, and that they never cost the job its result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import RunnerError
from runner.events import WRITE
from runner.job_folder import JobFolder
from runner.modes.context import Context
from runner.targets.ascend.intermediates import Intermediates, write_intermediates

logger = logging.getLogger(__name__)


def kept_items(part: Subset, wanted: bool, count: int) -> list[int]:
    """Return the items whose intermediate values are to be kept, evenly spaced over a part; none unless ``wanted``.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    total = len(part.indices)
    chosen = evenly_spaced(count, total, key="intermediates.count")
    return [part.indices[at] for at in chosen] if wanted else []


def write_kept(
    folder: JobFolder, shown: Intermediates, dataset: Dataset, indices: Sequence[int], job: Context
) -> Path | None:
    """Write the intermediate values of items as a stage and return their folder; None where there are no items.

    The job's result is whole by now. A fault of ours takes these values away, is told, and leaves the result.

    Raises:
        OutputError: they cannot be written, or do not fit on the disk.
    """
    if not indices:
        return None
    with job.clock.stage(WRITE, 2 * len(indices), "intermediate values") as progress:
        try:
            return write_intermediates(folder, shown, dataset, indices, progress)
        except RunnerError:
            raise
        except Exception as error:
            logger.debug("intermediate values", exc_info=True)
            what = f"{type(error).__name__}: {error}"
            job.warnings.warn(
                f"keep_intermediates: the values could not be written, by a fault of this program ({what}); all else is as it "
                "would be without them. Please report this, with the model."
            )
    return None
