"""Load: what the job was given, read and checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import require_measurable
from runner.modes.context import Context
from runner.modes.data import DataSplit, calibration_subset, evaluation_subset, keep_pixels, split_data
from runner.modes.files.given_files import GivenFiles, read_given
from runner.modes.files.kept_values import kept_items
from runner.modes.prepared_model import PreparedModel, load_prepared
from runner.modes.rewriting import recorded_model
from runner.session import input_specs


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What a job works on.

    Attributes:
        given: the user's AMCT files.
        prepared: the float model.
        split: the items, by use.
        fitted: options of the preprocessing that the model's inputs settled.
        constants: inputs of the source that are fixed, and their values.
        verified: how many items checking the written files runs.
        kept: the items whose intermediate values are to be kept.
    """

    given: GivenFiles
    prepared: PreparedModel
    split: DataSplit
    fitted: tuple[str, ...]
    constants: Mapping[str, Any]
    verified: int
    kept: Subset


def load(
    model: str | Path, dataset: Dataset, calibration_dataset: Dataset | None, options: AccAutoOptions, job: Context
) -> Loaded:
    """Return what a job works on.

    Args:
        model: path of the float ONNX file.
        dataset: evaluation data.
        calibration_dataset: calibration data; the same by default.
        options: the job's.
        job: keeps decoded images.

    Raises:
        RunnerError: a file cannot be read, or the model, the data and the options do not fit each other.
    """
    given = read_given(options.quant_config, options.record)
    calibration = None
    if given.record is None:
        items = calibration_dataset or dataset
        calibration = calibration_subset(items, *given.calibration_count(options.calibration_count, len(items)))
    keep_pixels(job.store, dataset, calibration_dataset)
    constants = constants_of(dataset)
    evaluated = evaluation_subset(dataset, options.evaluation_count)
    prepared = recorded_model(load_prepared(model, given.folds, constants, options.target), given)
    fitted = fit(input_specs(prepared.source.graph), dataset, calibration_dataset)
    split = split_data(evaluated, calibration, options.split)
    verified = options.target.check_steps(options.verify, split.report.indices)
    kept = kept_items(split.report, options.keep_intermediates, options.intermediates_count)
    require_measurable(prepared.source.graph, options.metric)
    return Loaded(given, prepared, split, fitted, constants, verified, kept)
