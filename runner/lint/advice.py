"""What to do about an operator that ATC does not read."""

from __future__ import annotations

import onnx

from runner.lint.atc_operators import atc_operators, said
from runner.wording import say

_HOST = say("replace it by operators that ATC reads, or run that part of the model on the host")
_QUANTIZED = say("quantize the float model, or convert a quantization-aware-trained one with mode=convert_qat")
_DYNAMIC = say("take the float model: what is quantized while it runs has no scales to write down")
_STEPS = say("export it with a fixed number of steps, written out one after the other, or run that part on the host")
_SPECTRUM = say("run it on the host, or write it as a MatMul by constants")
# Operator -> how the same is said in others that ATC reads, where there is a way.
_INSTEAD = {
    "Attention": say("write it with MatMul and Softmax, as an export at opset 18 or below does"),
    "CenterCropPad": say("write it with Slice and Pad"),
    "ConvInteger": _DYNAMIC,
    "DFT": _SPECTRUM,
    "DequantizeLinear": _QUANTIZED,
    "DynamicQuantizeLinear": _DYNAMIC,
    "Gelu": say("write it as x * (Erf(x / sqrt(2)) + 1) / 2, as an export at opset 18 or below does"),
    "GreaterOrEqual": say("write it as Not(Less(a, b))"),
    "GroupNormalization": say(
        "write it with Reshape, InstanceNormalization, Mul and Add, as an export at opset 17 does"
    ),
    "HardSwish": say("write it as x * HardSigmoid(x) with alpha 1/6"),
    "LayerNormalization": say(
        "write it with ReduceMean, Sub, Pow, Sqrt and Div, as an export at opset 16 or below does"
    ),
    "Loop": _STEPS,
    "MatMulInteger": _DYNAMIC,
    "Mish": say("write it as x * Tanh(Softplus(x))"),
    "QLinearConv": _QUANTIZED,
    "QLinearMatMul": _QUANTIZED,
    "QuantizeLinear": _QUANTIZED,
    "RMSNormalization": say("write it with Pow, ReduceMean, Sqrt, Div and Mul, as an export at opset 18 or below does"),
    "ReduceL1": say("write it as ReduceSum(Abs(x))"),
    "ReduceL2": say("write it as Sqrt(ReduceSumSquare(x))"),
    "RotaryEmbedding": say("write it with Slice, Mul, Sub, Add and Concat, as an export at opset 18 or below does"),
    "STFT": _SPECTRUM,
    "Scan": _STEPS,
    "Scatter": say("write it as ScatterElements"),
    "SequenceMap": _STEPS,
    "Swish": say("write it as x * Sigmoid(x)"),
    "Trilu": say("write it as a Mul by, or a Where over, a constant mask"),
    "Upsample": say("write it as Resize"),
}


def advice(op_type: str) -> str:
    """Return what to do about a standard operator that ATC does not read, or not at the model's opset."""
    opsets = _exportable(op_type)
    instead = _INSTEAD.get(op_type)
    if not opsets:
        return instead or _HOST
    export = say("export the model at opset {opsets}", opsets=said(opsets))
    return export if instead is None else say("{export}, or {instead}", export=export, instead=instead)


def _exportable(op_type: str) -> list[int]:
    """Return the documented opsets at which both ATC and ONNX know an operator."""
    table = atc_operators()
    opsets = (opset for opset in sorted(table.versions.get(op_type, ())) if opset in table.documented)
    return [opset for opset in opsets if _in_onnx(op_type, opset)]


def _in_onnx(op_type: str, opset: int) -> bool:
    if not onnx.defs.has(op_type):
        return True  # an operator of ATC's own: the table alone knows its versions
    try:
        return not onnx.defs.get_schema(op_type, opset, "").deprecated
    except onnx.defs.SchemaError:
        return False
