"""Raise a model's opset to what the simulation's operators need."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx import version_converter

from runner.errors import ModelError

# DequantizeLinear takes a channel axis from opset 13 on.
SIMULATION_OPSET = 13
SIMULATION_IR = 7
# ATC registers no standard operator above it.
DEPLOY_OPSET = 18


def raise_opset(model: ir.Model, minimum: int = SIMULATION_OPSET) -> ir.Model:
    """Return a copy of the model at ``minimum`` or the source's opset, whichever is higher; never lowered.

    Node names are kept, so that layers are found again by name.

    Raises:
        ModelError: the converter cannot raise an operator.
    """
    if model.opset_imports[""] >= minimum:
        return model.clone()
    proto = ir.to_proto(model)
    # Before IR version 4 every initializer had to be an input too, and the converter still insists on it.
    proto.ir_version = max(proto.ir_version, SIMULATION_IR)
    try:
        raised = version_converter.convert_version(proto, minimum)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"model.path: opset {model.opset_imports['']} cannot be raised to {minimum}: {error}"
        ) from error
    return ir.from_proto(raised)
