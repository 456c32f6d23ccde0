"""Load a QAT model: the source read and checked before any work, and what it says of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from runner.convert.qdq.read import QatModel, read_qdq, refuse_foreign
from runner.dataset.fitting import fit
from runner.dataset.input_settings import constants_of
from runner.dataset.item import Dataset
from runner.dataset.subset import Subset
from runner.errors import ConfigError
from runner.events import LOAD, StageAdvanced
from runner.graph.digest import graph_digest
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.layers import LayeredModel
from runner.graph.lower import lower
from runner.graph.model_file import SourceModel, load_model
from runner.graph.opset import raise_opset
from runner.modes.cautions import require_measurable
from runner.modes.context import Context
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.data import DataSplit, evaluation_subset, keep_pixels
from runner.modes.files.kept_values import kept_items
from runner.modes.prepared_model import log_left_alone, log_lowered
from runner.modes.rewriting_gap import require_same_raised
from runner.session import input_specs


@dataclass(frozen=True, slots=True, eq=False)
class LoadedQat:
    """What a conversion works on.

    Attributes:
        source: the model as it was read.
        qat: what it says.
        runnable: its float model at the simulation's opset, with its layers.
        source_digest: of the source's graph, with its weights.
        digest: of the float model that runs.
        split: the items, all for one use.
        fitted: options of the preprocessing that the model's inputs settled.
        constants: inputs of the source that are fixed, and their values.
        shown: index of the item whose prediction is shown.
        verified: how many items checking the written files runs.
        kept: the items whose intermediate values are to be kept.
    """

    source: SourceModel
    qat: QatModel
    runnable: LayeredModel
    source_digest: str
    digest: str
    split: DataSplit
    fitted: tuple[str, ...]
    constants: Mapping[str, Any]
    shown: int
    verified: int
    kept: Subset


def load_qat(model: str | Path, dataset: Dataset, options: ConvertQatOptions, job: Context) -> LoadedQat:
    """Return what a conversion works on.

    Args:
        model: path of the ONNX file with QuantizeLinear/DequantizeLinear.
        dataset: data to compare on.
        options: the job's.
        job: runs the source once, and keeps decoded images.

    Raises:
        RunnerError: the file cannot be read, or the model, the data and the options do not fit each other.
    """
    target, items = options.target, evaluation_subset(dataset, options.evaluation_count)
    verified = target.check_steps(options.verify, items.indices)
    kept = kept_items(items, options.keep_intermediates, options.intermediates_count)
    shown = item_index(dataset, options.image)
    keep_pixels(job.store, dataset)
    constants = constants_of(dataset)
    source = fix_inputs(load_model(model), constants)
    # Before onnxruntime, which would only say that it does not know another quantizer's operators.
    refuse_foreign(source.graph)
    require_measurable(source.graph, None)
    fitted = fit(input_specs(source.graph), dataset)
    job.engine.session(source.graph, given=True)  # what onnxruntime does not take is refused before the work
    require_same_raised(source, items, job.engine)
    qat = read_qdq(
        source.graph,
        target.limits,
        on_asymmetric_weight=options.on_asymmetric_weight,
        progress=lambda done, total: job.emit(StageAdvanced(LOAD, done, total)),
    )
    log_left_alone(qat.found)
    newest = target.limits.newest_opset
    log_lowered(lower(qat.graph, newest, target.reads), qat.graph, newest)
    runnable: ir.Model = raise_opset(qat.graph)
    return LoadedQat(
        source,
        qat,
        qat.found.on(runnable),
        graph_digest(source.graph),
        graph_digest(runnable),
        DataSplit(None, items, items),
        fitted,
        constants,
        shown,
        verified,
        kept,
    )


def item_index(dataset: Dataset, image: int | str) -> int:
    """Return the index of the item that a number or a name means.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(image, int):
        if not 0 <= image < len(dataset):
            raise ConfigError(f"image: expected an item number from 0 to {len(dataset) - 1}, or a name, got {image}.")
        return image
    for index in range(len(dataset)):
        if dataset.name(index) == image:
            return index
    raise ConfigError(f"image: the dataset has no item '{image}'; its first is '{dataset.name(0)}'.")
