"""A model's layers quantized as a job says, without a search: what the Q/DQ writer is measured with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir

from runner.app.options import AccAutoJob
from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.events import ignore
from runner.graph.digest import graph_digest
from runner.graph.layers import FoundLayers
from runner.graph.tensors import TensorInput, typed
from runner.modes.files.given_files import GivenFiles, starting_point
from runner.modes.keys import StageKeys
from runner.modes.layer_settings import LayerSelection
from runner.modes.prepared_model import PreparedModel, load_prepared
from runner.modes.recipe import CalibrationRecipe
from runner.modes.rewriting import rewritten_model
from runner.modes.stages import Stages
from runner.record import QuantizedLayers

_CALIBRATION_ITEMS = 100

# Of a typed model and its layers.
Placement = Callable[[ir.Model, FoundLayers], tuple[TensorInput, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A float model, ready to run, and the quantized form of its layers."""

    model: ir.Model
    found: FoundLayers
    form: QuantizedLayers


def quantize(job: AccAutoJob, placement: Placement, *, per_channel_matrices: bool = True) -> Quantized:
    """Return every layer of the job's model in int8, with its observer and corrections.

    Args:
        job: names model, data, observer and corrections.
        placement: which inputs of other nodes are rounded.
        per_channel_matrices: whether a Gemm or MatMul takes one weight scale an output.
    """
    engine = Engine()
    stages = Stages(engine, ignore)
    data = job.calibration.dataset or job.dataset
    count = min(job.calibration.count or _CALIBRATION_ITEMS, len(data))
    items = Subset(data, evenly_spaced(count, len(data)))
    subject = _per_channel(load_prepared(job.model.path), per_channel_matrices)
    keys = StageKeys(graph_digest(subject.runnable), items.fingerprint, items.fingerprint)
    recipe = _recipe(job, subject, items, placement)
    rewritten = rewritten_model(subject, job.correction, items, recipe, engine, stages, keys, None)
    if rewritten is not subject:
        subject = _per_channel(rewritten, per_channel_matrices)
        recipe = _recipe(job, subject, items, placement)
    return Quantized(subject.runnable, subject.found, recipe.quantize(engine, stages).form)


def _recipe(job: AccAutoJob, subject: PreparedModel, items: Subset, placement: Placement) -> CalibrationRecipe:
    selection = LayerSelection(subject.found, tensors=placement(typed(subject.runnable), subject.found))
    start = starting_point(
        GivenFiles(), subject, job.observer, selection, count=len(items.indices), balance=job.correction.balance
    )
    return CalibrationRecipe(subject, items, start, (), job.correction)


def _per_channel(subject: PreparedModel, wanted: bool) -> PreparedModel:
    layers = tuple(
        replace(layer, per_channel=True) if wanted and layer.op_type in ("Gemm", "MatMul") else layer
        for layer in subject.found.layers
    )
    return replace(subject, found=replace(subject.found, layers=layers))
