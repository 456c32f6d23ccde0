"""How far preparing and rewriting a float model moved its outputs: by roundings, or there is a fault."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.finite import not_finite
from runner.dataset.item import Item
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ModelError
from runner.graph.model_file import SourceModel
from runner.graph.opset import SIMULATION_OPSET, raise_opset
from runner.modes.context import Context
from runner.modes.prepared_model import PreparedModel
from runner.session import REFERENCE
from runner.store.stage import NUMBER, Stage

# What one rounding of folded weights may do to an output; more is a fault of the rewriting.
_LARGEST_GAP = 1e-3
# A float16 source rounds every sum to 11 bits, where the prepared model keeps 24.
_LARGEST_HALF_GAP = 5e-2
# Where onnxruntime's own rewriting of the source moves the outputs as far, it is their rounding and no fault.
_OWN_ROUNDINGS = 4

# Of labels that many stand in one output, such as a map of classes, rounding may flip so many.
_MANY_LABELS, _FLIPPED_BY_ROUNDING = 100, 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GapInputs:
    """What the gap of a rewriting depends on."""

    source_graph: str
    graph: str
    first_item: str


GAP = Stage("gap of the rewriting", GapInputs, NUMBER, version=2)


def cached_gap(prepared: PreparedModel, part: Subset, job: Context) -> float:
    """Return the ``rewriting_gap``, measured where it is not known."""
    inputs = GapInputs(prepared.source_digest, prepared.digest, part.contents[0])
    return GAP.cached(job.store, inputs, lambda: rewriting_gap(prepared, part, job.engine))


def rewriting_gap(prepared: PreparedModel, part: Subset, engine: Engine) -> float:
    """Return how far rewriting moved the float outputs of the first item: the largest difference over the largest output.

    Only of outputs that are amounts: one rounding may change a label, or how many boxes a detector keeps.

    Raises:
        ModelError: it moved them by more than rounding can.
        DatasetError: an output is not finite in one of the two only, nor is the item.
    """
    index = part.indices[0]
    item, name = part.dataset.item(index), part.dataset.name(index)
    names = None
    results = []
    # One after the other: what onnxruntime says of the source as it is comes first.
    for graph, given in ((prepared.source.graph, True), (prepared.runnable.graph, False)):
        session = engine.session(graph, given=given)
        names = names or session.number_names
        results.append(session.run(bind(item, session.inputs, name=name), names))
    before, after = results
    assert names is not None  # there was a session
    gap = _largest_gap(before, after)
    limit = _LARGEST_HALF_GAP if prepared.preparation.widened else _LARGEST_GAP
    if not np.isfinite(gap):
        raise not_finite(
            part.dataset,
            index,
            ", ".join(names),
            what="an output among",
            remedy="It leaves float32 in the model as exported or in that with its constants folded, not in both.",
        )
    if not gap <= limit and not gap <= _OWN_ROUNDINGS * _own_gap(prepared, item, name, before, engine):
        raise ModelError(
            f"model.path: the model as it is quantized ({_what_was_done(prepared)}) gives other outputs than the model as "
            f"exported: by {gap:.3g} of their largest value, expected at most {limit}. Export it at opset 13 to 18, with "
            "constants folded, or report this, with the model."
        )
    return gap


def require_same_raised(source: SourceModel, part: Subset, engine: Engine) -> None:
    """Raise a ModelError where a model gives other outputs once it is raised to the simulation's opset, on the first item."""
    opset = source.graph.opset_imports[""]
    if opset >= SIMULATION_OPSET:
        return
    index = part.indices[0]
    results = []
    for graph in (source.graph, raise_opset(source.graph)):
        session = engine.session(graph)
        feeds = bind(part.dataset.item(index), session.inputs, name=part.dataset.name(index))
        results.append(session.run(feeds, session.number_names))
    gap = _largest_gap(*results)
    if not gap <= _LARGEST_HALF_GAP:
        raise ModelError(
            f"model.path: raised from opset {opset} to {SIMULATION_OPSET}, the model gives other outputs than as exported: by "
            f"{gap:.3g} of their largest value. Export it at opset {SIMULATION_OPSET} or later."
        )


def _what_was_done(prepared: PreparedModel) -> str:
    opset, runs = (graph.opset_imports[""] for graph in (prepared.source.graph, prepared.runnable.graph))
    return f"constants and BatchNormalization folded, opset {opset}{'' if opset == runs else f' as {runs}'}"


def _own_gap(prepared: PreparedModel, item: Item, name: str, before: list[NDArray[Any]], engine: Engine) -> float:
    """Return how far onnxruntime's own rewriting moves the source: behind a Sigmoid near 0 a rounding is large already."""
    session = engine.session(prepared.source.graph, REFERENCE, given=True)
    gap = _largest_gap(before, session.run(bind(item, session.inputs, name=name), session.number_names))
    logger.info("onnxruntime's own rewriting moves the outputs of the source by %.3g of their largest value", gap)
    return gap


def _largest_gap(before: list[NDArray[Any]], after: list[NDArray[Any]]) -> float:
    """Return the largest gap of any output; NaN where that of one is."""
    return float(np.max([_relative_gap(a, b) for a, b in zip(before, after, strict=True)], initial=0.0))


def _relative_gap(before: NDArray[Any], after: NDArray[Any]) -> float:
    if before.shape != after.shape:
        return 0.0
    if before.dtype.kind in "iub":
        # One rounding may flip a label; many that flip are another model's.
        other = float(np.mean(before != after)) if before.size >= _MANY_LABELS else 0.0
        return other if other > _FLIPPED_BY_ROUNDING else 0.0
    if before.dtype.kind != "f":
        return 0.0
    old, new = before.astype(np.float64), after.astype(np.float64)
    # Infinities of one sign, and NaN in both, have not moved.
    moved = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    if not moved.any():
        return 0.0
    largest = float(np.max(np.abs(old), initial=0.0, where=np.isfinite(old)))
    return float(np.max(np.abs(old[moved] - new[moved]))) / (largest or 1.0)
