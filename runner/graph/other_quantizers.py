"""Models that another tool quantized already: which tool's form it is, and what to give instead, in one sentence.

A mode sends to the other only where the other can take the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.constants import constant

_QDQ = ("QuantizeLinear", "DequantizeLinear")
# Operators of tools that train or simulate quantization, and their domains.
_FOREIGN_DOMAINS = ("qonnx", "onnx.brevitas", "finn")
_FOREIGN_OPS = (
    *("Quant", "IntQuant", "FloatQuant", "BipolarQuant"),
    *("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantize"),
    *("FakeQuantizeLearnablePertensorAffine", "FakeQuantizeLearnablePerchannelAffine"),
)
_MICROSOFT = ("", "com.microsoft")
_DYNAMIC = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_INTEGER = ("ConvInteger", "MatMulInteger", "MatMulInteger16", "MatMulIntegerToFloat", "QGemm", "QAttention")
_WEIGHT_ONLY = ("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized", "QMoE")

_GIVE_FLOAT = "Give the float model that it was made from, with mode=acc_auto."


def all_nodes(model: ir.Model) -> list[ir.Node]:
    """Return the nodes of the main graph, of bodies and of functions."""
    inner = (node for function in model.functions.values() for node in function.all_nodes())
    return [*model.graph.all_nodes(), *inner]


def refuse_other_quantizers(nodes: Sequence[ir.Node]) -> None:
    """Raise a ModelError for a form of quantization that no mode takes.

    A dynamic part beside QuantizeLinear is none: what stands between QuantizeLinear and DequantizeLinear can be taken.
    """
    for node in nodes:
        if node.op_type.startswith("Ascend") or node.domain == "amct.customop":
            raise ModelError(
                f"model.path: node '{node.name}' is an {node.op_type}: the model was already converted by AMCT."
            )
        if node.domain.startswith(_FOREIGN_DOMAINS) or node.op_type in _FOREIGN_OPS:
            raise ModelError(
                f"model.path: node '{node.name}' is {node.op_type} of domain '{node.domain}'; expected QuantizeLinear "
                "and DequantizeLinear. Export the model again as QDQ (in Brevitas: export_onnx_qcdq; of QONNX files, as "
                "QKeras gives: qonnx's QuantToQCDQ) for mode=convert_qat, or give the float model with mode=acc_auto."
            )
    if not any(node.op_type == "QuantizeLinear" for node in nodes):
        refuse_dynamic(nodes)
    for node in nodes:
        # ConvInteger and its like may stand anywhere: whose codes they read is said where these are read.
        if node.domain in _MICROSOFT and node.op_type.startswith("QLinear"):
            raise ModelError(_in_qoperator_format(node))


def refuse_dynamic(nodes: Sequence[ir.Node]) -> None:
    """Raise a ModelError where a node finds the scale of a tensor in the tensor itself."""
    for node in nodes:
        if node.op_type in _DYNAMIC and node.domain in _MICROSOFT:
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' makes the scale of a tensor anew from every input: the model is "
                f"quantized dynamically, and a deploy model needs scales that are fixed. {_GIVE_FLOAT}"
            )


def refuse_quantized(nodes: Sequence[ir.Node]) -> None:
    """Raise a ModelError unless the model is a float one.

    Where its activations go through QuantizeLinear and DequantizeLinear the message sends to mode=convert_qat.
    """
    refuse_other_quantizers(nodes)
    refuse_dynamic(nodes)
    for node in nodes:
        if node.op_type in _INTEGER and node.domain in _MICROSOFT:
            raise ModelError(_in_qoperator_format(node))
    weight = only_weights(nodes)
    if weight is not None:
        raise ModelError(
            f"model.path: {weight.op_type} '{weight.name}' holds a quantized weight, and no activation is quantized: "
            f"quantization of the weights alone, which gives no scales to compute in int8 with. {_GIVE_FLOAT}"
        )
    for node in nodes:
        if node.op_type in _QDQ:
            raise ModelError(
                f"model.path: node '{node.name}' is a {node.op_type}: this is a quantization-aware-trained model. "
                "Run it with mode=convert_qat."
            )


def only_weights(nodes: Sequence[ir.Node]) -> ir.Node | None:
    """Return a node that gives a quantized weight, where nothing else of the model is quantized; None elsewhere."""
    stored = [node for node in nodes if node.op_type in _WEIGHT_ONLY and node.domain == "com.microsoft"]
    pairs = [node for node in nodes if node.op_type in _QDQ]
    if any(node.op_type == "QuantizeLinear" or constant(node.inputs[0]) is None for node in pairs):
        return None
    return next(iter([*stored, *pairs]), None)


def _in_qoperator_format(node: ir.Node) -> str:
    return (
        f"model.path: {node.op_type} '{node.name}' computes on integers: the model is quantized in QOperator format. Quantize "
        "the float model in QDQ format (onnxruntime: quant_format=QuantFormat.QDQ) for mode=convert_qat, or give the float "
        "model with mode=acc_auto."
    )
