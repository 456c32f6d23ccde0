"""Which items a job looks at, and what they are called in its result."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from runner.dataset.decoded import KeepsPixels
from runner.dataset.item import Dataset, evenly_spaced
from runner.dataset.subset import Subset
from runner.errors import ConfigError, DatasetError
from runner.graph.model_file import SourceModel
from runner.modes.result import Source
from runner.store.store import Store


@dataclass(frozen=True, slots=True)
class Split:
    """Whether calibration, search and the reported figure look at different items; items are known by their content.

    Attributes:
        disjoint: items that calibration looks at are not evaluated.
        report: share of the evaluated items that the search never sees and the reported figures are measured on, 0..1;
            0 reports on the items of the search.
    """

    disjoint: bool = False
    report: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.report < 1:
            raise ConfigError(f"split.report: expected a share of the items from 0 to below 1, got {self.report}.")


@dataclass(frozen=True, slots=True, eq=False)
class DataSplit:
    """The items of a job, by use.

    Attributes:
        calibration: None where nothing is calibrated.
        search: what plans are judged on.
        report: what the final figures are measured on; ``search`` itself where none were kept for it.
        left_out: evaluation items that calibration looks at, or that have the content of another part's.
    """

    calibration: Subset | None
    search: Subset
    report: Subset
    left_out: int = 0

    @property
    def held_out(self) -> bool:
        """Whether the final figures are measured on items that the search never saw."""
        return self.report is not self.search


def evaluation_subset(dataset: Dataset, count: int | None) -> Subset:
    """Return the items to evaluate on: all, or ``count`` evenly spaced ones.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    wanted = len(dataset) if count is None else count
    return Subset(dataset, evenly_spaced(wanted, len(dataset), key="evaluation.count"))


def calibration_subset(dataset: Dataset, count: int, key: str = "calibration.count") -> Subset:
    """Return ``count`` evenly spaced items.

    Args:
        dataset: calibration data.
        count: how many.
        key: what says so, for a message.

    Raises:
        ConfigError: ``count`` is not in 1 to the number of items.
    """
    return Subset(dataset, evenly_spaced(count, len(dataset), key=key))


def split_data(evaluation: Subset, calibration: Subset | None, split: Split) -> DataSplit:
    """Return the parts of a job.

    Raises:
        DatasetError: a part is left without items.
    """
    kept = evaluation
    if split.disjoint and calibration is not None:
        kept = _without(evaluation, _contents(calibration))
        if not kept.indices:
            raise DatasetError(
                f"split.disjoint: all {len(evaluation.indices)} evaluation items are calibration items too, so none is left "
                "to evaluate on. Lower calibration.count or name other data with calibration.dataset."
            )
    if split.report == 0:
        return DataSplit(calibration, kept, kept, len(evaluation.indices) - len(kept.indices))
    items = len(kept.indices)
    reported = [kept.indices[at] for at in evenly_spaced(max(1, math.floor(split.report * items)), items)]
    report = Subset(kept.dataset, reported)
    chosen = set(reported)
    others = Subset(kept.dataset, [index for index in kept.indices if index not in chosen])
    search = _without(others, _contents(report))
    if not search.indices:
        raise DatasetError(
            f"split.report: {len(reported)} of {items} items are kept for the report and no other is left to search on. "
            "Lower it or name more data."
        )
    return DataSplit(calibration, search, report, len(evaluation.indices) - len(search.indices) - len(reported))


def keep_pixels(store: Store | None, *datasets: Dataset | None) -> None:
    """Have datasets keep decoded images in a store, those that decode any."""
    for dataset in datasets:
        if store is not None and isinstance(dataset, KeepsPixels):
            dataset.keep_in(store)


def describe_source(name: str, model: SourceModel, parts: DataSplit) -> Source:
    """Return what is run on what; items are compared by content, so that overlap is seen under other names too."""
    calibration = parts.calibration
    calibrated = () if calibration is None else calibration.contents
    seen = _contents(parts.search) | (_contents(parts.report) if parts.held_out else set())
    return Source(
        model=name,
        model_path=str(model.path),
        model_sha256=model.sha256,
        dataset=parts.report.dataset.describe(),
        dataset_fingerprint=parts.report.fingerprint,
        evaluation_items=len(parts.report.indices),
        calibration_items=len(calibrated),
        overlap=sum(fingerprint in seen for fingerprint in calibrated),
        search_items=len(parts.search.indices),
        held_out=parts.held_out,
        left_out=parts.left_out,
    )


def _contents(part: Subset) -> set[str]:
    return set(part.contents)


def _without(part: Subset, contents: Container[str]) -> Subset:
    """Return the items whose content is none of the given."""
    indexed = zip(part.indices, part.contents, strict=True)
    return Subset(part.dataset, [index for index, content in indexed if content not in contents])
