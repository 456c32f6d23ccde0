"""The float model that a job works on, and what is known of it before any data is seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from runner.graph.layers import FoundLayers, find_layers, require_layers
from runner.graph.model_file import SourceModel, load_model
from runner.graph.opset import raise_opset
from runner.graph.prepare import PreparedModel, prepare

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A float model ready to run.

    Attributes:
        source: as it was read.
        prepared: after exact rewriting, at the source's opset; the writers start from it.
        runnable: the same at the simulation's opset; whatever runs starts from it.
        found: its layers, under the same names in both.
    """

    source: SourceModel
    prepared: PreparedModel
    runnable: ir.Model
    found: FoundLayers


def load_subject(model: str | Path) -> Subject:
    """Read, prepare and survey a float model.

    Raises:
        ModelError: it cannot be read, is quantized already, or has no layer to quantize.
    """
    source = load_model(model)
    prepared = prepare(source.graph)
    found = find_layers(prepared.graph)
    require_layers(found)
    for left in found.left_alone:
        logger.info("left alone: %s (%s): %s", left.name, left.op_type, left.reason)
    return Subject(source, prepared, raise_opset(prepared.graph), found)
