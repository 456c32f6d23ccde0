"""Raise a model's opset to what the simulation's operators need."""

from __future__ import annotations

import re

import onnx
import onnx_ir as ir
from onnx import version_converter

from runner.errors import ModelError
from runner.graph.older_meanings import say_where, write_out

# DequantizeLinear takes a channel axis from opset 13 on.
SIMULATION_OPSET = 13
SIMULATION_IR = 7
# What onnxruntime promises to read.
_OLDEST = 7
# ATC registers no standard operator above it.
DEPLOY_OPSET = 18


def raise_opset(model: ir.Model, minimum: int = SIMULATION_OPSET) -> ir.Model:
    """Return a copy of the model at ``minimum`` or the source's opset, whichever is higher; never lowered.

    Names of nodes and of what they read are kept, so that layers and their inputs are found again by name.

    Raises:
        ModelError: the converter cannot raise an operator, or nothing newer says what it does.
    """
    if model.opset_imports[""] >= minimum:
        return model.clone()
    source = model.clone()
    write_out(source)
    proto = ir.to_proto(source)
    # Before IR version 4 every initializer had to be an input too, and the converter still insists on it.
    proto.ir_version = max(proto.ir_version, SIMULATION_IR)
    try:
        raised = version_converter.convert_version(proto, minimum)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        oldest = f"expected opset {_OLDEST} or newer; " if model.opset_imports[""] < _OLDEST else ""
        # Where in its own source the converter stops: of that the adapter's name tells the operator.
        why = re.sub(r"^\S*?(\w+)\.(?:cc|h):\d+: (?:\w+: )?", r"\1: ", " ".join(str(error).split()))
        raise ModelError(
            f"model.path: opset {model.opset_imports['']} cannot be raised to {minimum}, which int8 needs: {oldest}"
            f"{why[:300].rstrip('.')}. Export the model again at opset {minimum} to {DEPLOY_OPSET}."
        ) from error
    converted = ir.from_proto(raised)
    _name_as_before(source.graph, converted.graph)
    say_where(source, converted)
    return converted


def _name_as_before(source: ir.Graph, converted: ir.Graph) -> None:
    """Give back the names of values that the converter replaced, such as the output of an Upsample made a Resize."""
    made = {output.name for node in converted for output in node.outputs}
    readers = {node.name: node for node in converted if node.name}
    for node in source:
        reader = readers.get(node.name or "")
        for value, new in zip(node.inputs, () if reader is None else reader.inputs, strict=False):
            if value is None or new is None or new.producer() is None or new.is_graph_output():
                continue
            if value.producer() is not None and value.name not in made:
                made.add(value.name)
                new.name = value.name
