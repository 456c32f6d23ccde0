"""``summary.json`` of an earlier job, read: what others do with it depends on its having the right types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.plain_values import fits, misfit
from runner.report.summary import SUMMARY


@dataclass(frozen=True, slots=True)
class _ReadKeys:
    """The keys that are read, none of which has to be there."""

    model: str = ""
    model_sha256: str = ""
    dataset: str = ""
    samples: int = 0
    loss: float | None = None
    target_loss: float | None = None
    target_met: bool | None = None
    target_verdict: str = ""
    float_metric: float | None = None
    quantized_metric: float | None = None
    agreement: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None
    layers_int8: int = 0
    layers_total: int = 0
    macs_int8_share: float | None = None
    seconds: Mapping[str, float | None] | None = None
    mlflow: Mapping[str, str] | None = None


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary in a job's folder; None where there is none that a job wrote."""
    try:
        read = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    sound = fits(read, Mapping[str, Any]) and misfit(read, _ReadKeys) is None
    if not sound or ("layers_int8" in read) != ("layers_total" in read) or ("model" in read) != ("dataset" in read):
        return None
    summary: dict[str, Any] = read
    return summary
