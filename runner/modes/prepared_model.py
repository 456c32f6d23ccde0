"""The float model that a job works on, and what is known of it before any data is seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.batchnorm import Folds, into_all
from runner.graph.batchnorm_by_place import WHY_LEFT
from runner.graph.digest import graph_digest
from runner.graph.fixed_inputs import fix_inputs
from runner.graph.layers import Layer, LayeredModel, find_layers, require_layers
from runner.graph.lower import Lowered
from runner.graph.model_file import SourceModel, load_model
from runner.graph.opset import raise_opset
from runner.graph.prepare import PreparedGraph, prepare
from runner.graph.probe import with_outputs
from runner.graph.rewriting import Rewriting, rewritten
from runner.targets.ascend.target import Ascend
from runner.targets.target import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A float model ready to run.

    Attributes:
        source: as it was read.
        preparation: exact rewriting at the source's opset, and what it did; the writers start from its graph.
        runnable: the same at the simulation's opset with its layers; whatever runs starts from it.
        rewriting: what was done to it for the sake of its quantized form.
        target: what it is quantized for.
    """

    source: SourceModel
    preparation: PreparedGraph
    runnable: LayeredModel
    rewriting: Rewriting = field(default_factory=Rewriting)
    target: Target = field(default_factory=Ascend)

    @property
    def graph(self) -> ir.Model:
        """The prepared model at the source's opset."""
        return self.preparation.graph

    @property
    def at_source_opset(self) -> LayeredModel:
        """The prepared model at the source's opset, with the layers of the runnable one, which have the same names."""
        return self.runnable.on(self.graph)

    @cached_property
    def digest(self) -> str:
        """Of the graph that runs, with its weights."""
        return graph_digest(self.runnable.graph)

    @cached_property
    def source_digest(self) -> str:
        """Of the graph as it was read, with its weights."""
        return graph_digest(self.source.graph)

    @property
    def node_types(self) -> dict[str, str]:
        """Operator type of every node, by name."""
        return {node.name or "": node.op_type for node in self.graph.graph}

    def rewritten(self, rewriting: Rewriting) -> PreparedModel:
        """Return a model that computes the same, on top of how it was rewritten before.

        Raises:
            ValueError: the rewriting does not fit the model.
        """
        graph = rewritten(self.graph, rewriting)
        both = Rewriting(
            {**self.rewriting.pixels, **rewriting.pixels}, {**self.rewriting.exponents, **rewriting.exponents}
        )
        runnable = find_layers(graph, self.target.limits).on(raise_opset(graph))
        return replace(self, preparation=replace(self.preparation, graph=graph), runnable=runnable, rewriting=both)


def load_prepared(
    model: str | Path,
    folds: Folds = into_all,
    constants: Mapping[str, Any] = MappingProxyType({}),
    target: Target | None = None,
) -> PreparedModel:
    """Read, prepare and survey a float model; nothing is folded into a layer whose name ``folds`` says no to.

    Args:
        model: its file.
        folds: which layers take BatchNormalization.
        constants: inputs that are fixed, and no inputs any more.
        target: what it is to be quantized for; Ascend by default.

    Raises:
        ModelError: it cannot be read, is quantized already, or has no layer to quantize.
        ConfigError: a constant fits no input.
    """
    return prepared_model(fix_inputs(load_model(model), constants), folds, target or Ascend())


def prepared_model(source: SourceModel, folds: Folds = into_all, target: Target | None = None) -> PreparedModel:
    """Prepare and survey a float model that was read; see ``load_prepared``.

    Raises:
        ModelError: it is quantized already, or has no layer to quantize.
    """
    target = target or Ascend()
    preparation = prepare(source.graph, target.limits, folds, target.reads)
    found = find_layers(preparation.graph, target.limits)
    require_layers(found)
    log_left_alone(found)
    for name in preparation.by_place:
        logger.info("left alone: %s (BatchNormalization): %s", name, WHY_LEFT)
    log_lowered(preparation.lowered, preparation.graph, target.limits.newest_opset)
    return PreparedModel(source, preparation, found.on(raise_opset(preparation.graph)), target=target)


def log_left_alone(found: LayeredModel) -> None:
    """Log each node that looks like a layer but stays float, with the reason."""
    for left in found.left_alone:
        logger.info("left alone: %s (%s): %s", left.name, left.op_type, left.reason)


def log_lowered(lowered: Lowered, model: ir.Model, newest: int) -> None:
    """Log what was done for the sake of the newest opset that a target takes, and what could not be."""
    opset = model.opset_imports[""]
    if lowered.opset > opset:
        logger.info("opset %d is written as opset %d, the newest that the target takes", lowered.opset, opset)
    if lowered.expanded:
        logger.info("written in operators that the target has: %s", ", ".join(lowered.expanded))
    for node in lowered.without_form:
        logger.warning("%s (%s) has no form at opset %d: %s", node.name, node.op_type, newest, node.reason)


def input_shapes(model: ir.Model, layers: Sequence[Layer], part: Subset, engine: Engine) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's input for the first item, with batch axis, by layer name."""
    names = list(dict.fromkeys(layer.input for layer in layers))
    if not names:
        return {}
    session = engine.session(with_outputs(model, names))
    index = part.indices[0]
    arrays = session.run(bind(part.dataset.item(index), session.inputs, name=part.dataset.name(index)), names)
    shapes = {name: array.shape for name, array in zip(names, arrays, strict=True)}
    return {layer.name: shapes[layer.input] for layer in layers}
