"""A whole job that takes as little time as it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner import AccAutoOptions, MinMax, Sqnr, acc_auto
from runner.dataset.item import Dataset
from runner.events import Emit, ignore
from runner.modes.result import AccAutoResult

_QUICK: dict[str, Any] = {"target_loss": 1000.0, "metric": Sqnr(), "observer": MinMax(), "calibration_count": 2}


def quick_job(model: Path, data: Dataset, folder: Path, *, emit: Emit = ignore, **options: Any) -> AccAutoResult:  # noqa: ANN401
    """Quantize a model on data, with everything in int8."""
    return acc_auto(model, data, folder, AccAutoOptions(**(_QUICK | options)), emit=emit)
