"""Which items a job looks at, and what they are called in its result."""

from __future__ import annotations

from dataclasses import dataclass

from runner.dataset.item import Dataset, dataset_fingerprint, evenly_spaced
from runner.events import DataUsed, Emit
from runner.graph.model_file import SourceModel
from runner.modes.result import Source


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some items of a dataset, by index."""

    dataset: Dataset
    indices: list[int]

    @property
    def fingerprint(self) -> str:
        """Return a digest of the items' contents."""
        return dataset_fingerprint(self.dataset, self.indices)

    def announce(self, context: str, emit: Emit) -> None:
        """Tell that the part is used, as ``calibration`` or ``evaluation``."""
        emit(DataUsed(self.dataset.describe(), context, len(self.indices), self.fingerprint))


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
