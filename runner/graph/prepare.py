"""From the model as exported to an equal float model that is easier to quantize.

Every step is exact in real numbers; what it does to the float32 outputs is one rounding per folded weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.errors import ModelError
from runner.graph.batchnorm import fold_batchnorm
from runner.graph.constants import add_initializer, constant, integer_attribute
from runner.graph.naming import name_nodes

# The version of this stage's meaning: raise it when the same source would give another float model.
VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class PreparedModel:
    """The float model that calibration, search and both writers start from.

    Attributes:
        graph: at the source's opset.
        named: names given to nodes that had none, or shared one.
        folded: names of the BatchNormalization nodes that were folded.
    """

    graph: ir.Model
    named: tuple[str, ...]
    folded: tuple[str, ...]


def tidy(model: ir.Model) -> list[str]:
    """Name nodes, make constants initializers and take initializers off the list of inputs; return the names made."""
    named = name_nodes(model)
    passes.RemoveInitializersFromInputsPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return named


def prepare(source: ir.Model) -> PreparedModel:
    """Return the float model to quantize; the source is left as it is.

    Raises:
        ModelError: the model already holds AMCT's operators, or QuantizeLinear / DequantizeLinear.
    """
    model = source.clone()
    _refuse_quantized(model)
    named = tidy(model)
    _fold_constants(model)
    folded = fold_batchnorm(model)
    for node in model.graph:
        if node.op_type == "Gemm":
            untranspose_gemm_weight(model.graph, node)
    passes.RemoveUnusedNodesPass()(model)
    return PreparedModel(model, tuple(named), tuple(folded))


def untranspose_gemm_weight(graph: ir.Graph, gemm: ir.Node) -> None:
    """Store the constant weight of a Gemm as [K, N], so that transB is 0, as the deploy format has it."""
    weight = constant(gemm.inputs[1])
    value = gemm.inputs[1]
    if weight is None or value is None or value.name is None or not integer_attribute(gemm, "transB", 0):
        return
    transposed = np.ascontiguousarray(weight.T)
    if len(value.uses()) == 1 and value.is_initializer():
        value.const_value = ir.tensor(transposed, name=value.name)
        value.shape = ir.Shape(transposed.shape)
    else:
        gemm.replace_input_with(1, add_initializer(graph, value.name, transposed))
    gemm.attributes["transB"] = ir.AttrInt64("transB", 0)


def _refuse_quantized(model: ir.Model) -> None:
    for node in model.graph:
        if node.op_type.startswith("Ascend") or node.domain == "amct.customop":
            raise ModelError(
                f"model.path: node '{node.name}' is an {node.op_type}: the model was already converted by AMCT."
            )
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise ModelError(
                f"model.path: node '{node.name}' is a {node.op_type}: this is a quantization-aware-trained model. "
                "Run it with mode=convert_qat."
            )


def _fold_constants(model: ir.Model) -> None:
    # Imported here: onnxscript takes a second to load, and only this step needs it.
    from onnxscript.optimizer import fold_constants

    fold_constants(model)
    # Folding leaves Identity nodes and Constant nodes behind.
    passes.IdentityEliminationPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    name_nodes(model)
