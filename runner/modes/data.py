"""Which items a job looks at, and what they are called in its result."""

from __future__ import annotations

from runner.dataset.item import Dataset, evenly_spaced
from runner.graph.model_file import SourceModel
from runner.modes.part import Part
from runner.modes.result import Source


def evaluation_part(dataset: Dataset, count: int | None) -> Part:
    """Return the items to evaluate on: all, or ``count`` evenly spaced ones.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    wanted = len(dataset) if count is None else count
    return Part(dataset, evenly_spaced(wanted, len(dataset), key="evaluation.count"))


def calibration_part(dataset: Dataset, count: int) -> Part:
    """Return ``count`` evenly spaced items.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    return Part(dataset, evenly_spaced(count, len(dataset), key="calibration.count"))


def describe_source(name: str, model: SourceModel, evaluation: Part, calibration: Part | None) -> Source:
    """Return what is run on what; items are compared by content, so that overlap is seen under other names too."""
    seen = {evaluation.dataset.fingerprint(index) for index in evaluation.indices}
    calibrated = [] if calibration is None else [calibration.dataset.fingerprint(i) for i in calibration.indices]
    return Source(
        model=name,
        model_path=str(model.path),
        model_sha256=model.sha256,
        opset=int(model.graph.opset_imports[""]),
        dataset=evaluation.dataset.describe(),
        dataset_fingerprint=evaluation.fingerprint,
        evaluation_items=len(evaluation.indices),
        calibration_items=len(calibrated),
        overlap=sum(fingerprint in seen for fingerprint in calibrated),
    )
