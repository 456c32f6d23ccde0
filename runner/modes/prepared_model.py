"""The float model that a job works on, and what is known of it before any data is seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.finite import not_finite
from runner.dataset.item import Item
from runner.dataset.subset import Subset
from runner.errors import ModelError
from runner.graph.batchnorm import Folds, into_all
from runner.graph.batchnorm_by_place import WHY_LEFT
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.layers import Layer, LayeredModel, find_layers, require_layers
from runner.graph.limits import ASCEND, Limits
from runner.graph.lower import Lowered
from runner.graph.model_file import SourceModel, load_model
from runner.graph.opset import DEPLOY_OPSET, SIMULATION_OPSET, raise_opset
from runner.graph.prepare import PreparedGraph, prepare
from runner.graph.probe import with_outputs
from runner.graph.rewriting import Rewriting, rewritten
from runner.lint.atc_operators import takes
from runner.session import REFERENCE, Session

# The version of this stage's meaning: raise it when the same graphs would give another gap.
VERSION = 2

# What one rounding of folded weights may do to an output; more is a fault of the rewriting.
_LARGEST_GAP = 1e-3
# A float16 source rounds every sum to 11 bits, where the prepared model keeps 24.
_LARGEST_HALF_GAP = 5e-2
# Where onnxruntime's own rewriting of the source moves the outputs as far, it is their rounding and no fault.
_OWN_ROUNDINGS = 4

# Of labels that many stand in one output, such as a map of classes, rounding may flip so many.
_MANY_LABELS, _FLIPPED_BY_ROUNDING = 100, 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedModel:
    """A float model ready to run.

    Attributes:
        source: as it was read.
        prepared: after exact rewriting, at the source's opset; the writers start from it.
        runnable: the same at the simulation's opset with its layers; whatever runs starts from it.
        rewriting: what was done to it for the sake of its quantized form.
        limits: what the target holds in int8.
    """

    source: SourceModel
    prepared: PreparedGraph
    runnable: LayeredModel
    rewriting: Rewriting = field(default_factory=Rewriting)
    limits: Limits = ASCEND

    @property
    def at_source_opset(self) -> LayeredModel:
        """The prepared model at the source's opset, with the layers of the runnable one, which have the same names."""
        return self.runnable.on(self.prepared.graph)

    @property
    def node_types(self) -> dict[str, str]:
        """Operator type of every node, by name."""
        return {node.name or "": node.op_type for node in self.prepared.graph.graph}

    def rewritten(self, rewriting: Rewriting) -> PreparedModel:
        """Return a model that computes the same, on top of how it was rewritten before.

        Raises:
            ValueError: the rewriting does not fit the model.
        """
        graph = rewritten(self.prepared.graph, rewriting)
        both = Rewriting(
            {**self.rewriting.pixels, **rewriting.pixels}, {**self.rewriting.exponents, **rewriting.exponents}
        )
        runnable = find_layers(graph, self.limits).on(raise_opset(graph))
        return replace(self, prepared=replace(self.prepared, graph=graph), runnable=runnable, rewriting=both)


def load_prepared(
    model: str | Path,
    folds: Folds = into_all,
    constants: Mapping[str, Any] = MappingProxyType({}),
    limits: Limits = ASCEND,
) -> PreparedModel:
    """Read, prepare and survey a float model; nothing is folded into a layer whose name ``folds`` says no to.

    Args:
        model: its file.
        folds: which layers take BatchNormalization.
        constants: inputs that are fixed, and no inputs any more.
        limits: what the target holds in int8.

    Raises:
        ModelError: it cannot be read, is quantized already, or has no layer to quantize.
        ConfigError: a constant fits no input.
    """
    source = fix_inputs(load_model(model), constants)
    prepared = prepare(source.graph, folds, takes, limits)
    found = find_layers(prepared.graph, limits)
    require_layers(found)
    log_left_alone(found)
    for name in prepared.by_place:
        logger.info("left alone: %s (BatchNormalization): %s", name, WHY_LEFT)
    log_lowered(prepared.lowered, prepared.graph)
    return PreparedModel(source, prepared, found.on(raise_opset(prepared.graph)), limits=limits)


def log_left_alone(found: LayeredModel) -> None:
    """Log each node that looks like a layer but stays float, with the reason."""
    for left in found.left_alone:
        logger.info("left alone: %s (%s): %s", left.name, left.op_type, left.reason)


def log_lowered(lowered: Lowered, model: ir.Model) -> None:
    """Log what was done for the sake of the deploy model's opset, and what could not be."""
    opset = model.opset_imports[""]
    if lowered.opset > opset:
        logger.info("opset %d is written as opset %d, the newest that ATC takes", lowered.opset, opset)
    if lowered.expanded:
        logger.info("written in operators that ATC has: %s", ", ".join(lowered.expanded))
    for node in lowered.without_form:
        logger.warning("%s (%s) has no form at opset %d: %s", node.name, node.op_type, DEPLOY_OPSET, node.reason)


def rewriting_gap(subject: PreparedModel, part: Subset) -> float:
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
    for graph, given in ((subject.source.graph, True), (subject.runnable.graph, False)):
        session = Session(graph, given=given)
        names = names or session.number_names
        results.append(session.run(bind(item, session.inputs, name=name), names))
    before, after = results
    assert names is not None  # there was a session
    gap = _largest_gap(before, after)
    logger.info("folding and the raised opset move the float outputs by %.3g of their largest value", gap)
    limit = _LARGEST_HALF_GAP if subject.prepared.widened else _LARGEST_GAP
    if not np.isfinite(gap):
        raise not_finite(
            part.dataset,
            index,
            ", ".join(names),
            what="an output among",
            remedy="It leaves float32 in the model as exported or in that with its constants folded, not in both.",
        )
    if not gap <= limit and not gap <= _OWN_ROUNDINGS * _own_gap(subject, item, name, before):
        raise ModelError(
            f"model.path: the model as it is quantized ({_what_was_done(subject)}) gives other outputs than the model as "
            f"exported: by {gap:.3g} of their largest value, expected at most {limit}. Export it at opset 13 to 18, with "
            "constants folded, or report this, with the model."
        )
    return gap


def require_same_raised(source: SourceModel, part: Subset) -> None:
    """Raise a ModelError where a model gives other outputs once it is raised to the simulation's opset, on the first item."""
    opset = source.graph.opset_imports[""]
    if opset >= SIMULATION_OPSET:
        return
    index = part.indices[0]
    results = []
    for graph in (source.graph, raise_opset(source.graph)):
        session = Session(graph)
        feeds = bind(part.dataset.item(index), session.inputs, name=part.dataset.name(index))
        results.append(session.run(feeds, session.number_names))
    gap = _largest_gap(*results)
    if gap > _LARGEST_HALF_GAP:
        raise ModelError(
            f"model.path: raised from opset {opset} to {SIMULATION_OPSET}, the model gives other outputs than as exported: by "
            f"{gap:.3g} of their largest value. Export it at opset {SIMULATION_OPSET} or later."
        )


def _what_was_done(subject: PreparedModel) -> str:
    opset, runs = (graph.opset_imports[""] for graph in (subject.source.graph, subject.runnable.graph))
    return f"constants and BatchNormalization folded, opset {opset}{'' if opset == runs else f' as {runs}'}"


def _own_gap(subject: PreparedModel, item: Item, name: str, before: list[NDArray[Any]]) -> float:
    """Return how far onnxruntime's own rewriting moves the source: behind a Sigmoid near 0 a rounding is large already."""
    session = Session(subject.source.graph, REFERENCE, given=True)
    gap = _largest_gap(before, session.run(bind(item, session.inputs, name=name), session.number_names))
    logger.info("onnxruntime's own rewriting moves the outputs of the source by %.3g of their largest value", gap)
    return gap


def input_shapes(model: ir.Model, layers: Sequence[Layer], part: Subset) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's input for the first item, with batch axis, by layer name."""
    names = list(dict.fromkeys(layer.input for layer in layers))
    if not names:
        return {}
    session = Session(with_outputs(model, names))
    index = part.indices[0]
    arrays = session.run(bind(part.dataset.item(index), session.inputs, name=part.dataset.name(index)), names)
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    return {layer.name: shapes[layer.input] for layer in layers}


def _largest_gap(before: list[NDArray[Any]], after: list[NDArray[Any]]) -> float:
    return max((_relative_gap(a, b) for a, b in zip(before, after, strict=True)), default=0.0)


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
