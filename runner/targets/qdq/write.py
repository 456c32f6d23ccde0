"""Float model + quantized layers -> one standard ONNX model of QuantizeLinear and DequantizeLinear.

    x -> QuantizeLinear(scale_d, zero_point) -> DequantizeLinear -> the layer, with
         weight int8 -> DequantizeLinear(scale_w, one a channel),  bias int32 -> DequantizeLinear(scale_d * scale_w)

Every operator is of the default domain, every weight an int8 initializer, no scale a block's: what runtimes recognize as a
quantized layer and run by an int8 kernel. uint8 activations are the codes of the record plus 128, zero point included.

An input of another node that is rounded is a QuantizeLinear and a DequantizeLinear. Whoever reads one tensor under equal
parameters shares them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import dequant_scale
from runner.convert.fake_quant import with_layers
from runner.graph.builder import Builder
from runner.graph.layers import Layer, LayeredModel
from runner.graph.smoothing import divided
from runner.graph.tensors import typed
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers
from runner.targets.qdq.added_bias import quantize_biases
from runner.targets.qdq.pads import absorb_pads
from runner.targets.qdq.weight_form import real_weight

# The version of this stage's meaning: raise it when the same form would give another file.
VERSION = 2

# Type of activations' codes.
Codes = Literal["uint8", "int8"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a runtime wants of the file.

    Attributes:
        codes: of activations.
        integer_bias: whether a bias is int32 behind a DequantizeLinear, or float32 of the same value.
        symmetric: whether every zero point has to be 0.
    """

    codes: Codes = "uint8"
    integer_bias: bool = True
    symmetric: bool = False


# onnxruntime and OpenVINO: on x86 the fast kernels multiply uint8 by int8.
PORTABLE = Dialect()
# TensorRT dequantizes int8 alone, around 0.
TENSORRT = Dialect("int8", integer_bias=False, symmetric=True)

_FLOAT = ir.DataType.FLOAT
_TO_UINT8 = 128


def qdq_model(model: LayeredModel, form: QuantizedLayers, dialect: Dialect = PORTABLE) -> ir.Model:
    """Return a copy of the float model with the layers and tensors of ``form`` between QuantizeLinear and DequantizeLinear.

    Args:
        model: prepared, at opset 13 or later; the result is at the same.
        form: what is quantized; every layer that is not in it stays float.
        dialect: what the runtime wants.

    Raises:
        ValueError: the dialect wants zero points of 0, and one is another.
    """
    if dialect.symmetric:
        _require_symmetric(form)
    float_model = typed(model.graph)
    absorb_pads(float_model, form.layers)
    written = with_layers(model.on(float_model), form, _Writer(dialect))
    if dialect.integer_bias:
        quantize_biases(written, float_model, form)
    return written


def stored_zero_point(params: ActivationParams, codes: Codes) -> NDArray[np.int8] | NDArray[np.uint8]:
    """Return the zero point as the file has it, a scalar."""
    if codes == "int8":
        return np.asarray(params.zero_point, np.int8)
    return np.asarray(params.zero_point + _TO_UINT8, np.uint8)


def _require_symmetric(form: QuantizedLayers) -> None:
    entries = {name: layer.record.activation for name, layer in form.layers.items()}
    entries |= {key: tensor.activation for key, tensor in form.tensors.items()}
    for name, params in entries.items():
        if params.zero_point != 0:
            raise ValueError(f"the input of {name} has zero point {params.zero_point}; expected 0")


@dataclass(slots=True)
class _Writer:
    """Builds the nodes; what reads one tensor with equal parameters shares its pair."""

    dialect: Dialect
    _rounded: dict[tuple[str, ActivationParams], ir.Value] = field(default_factory=dict)

    def tensor(self, build: Builder, x: ir.Value, params: ActivationParams, prefix: str) -> ir.Value:
        """Return ``x`` rounded to 8 bits and back."""
        key = (x.name or "", params)
        if key not in self._rounded:
            scale = build.constant(f"{prefix}.scale", np.asarray(params.scale, np.float32))
            zero = stored_zero_point(params, self.dialect.codes)
            zero_point = build.constant(f"{prefix}.zero_point", zero)
            dtype = ir.DataType.from_numpy(zero.dtype)
            codes = build.op("QuantizeLinear", [x, scale, zero_point], f"{prefix}.quantize", dtype)
            real = build.op("DequantizeLinear", [codes, scale, zero_point], f"{prefix}.dequantize", _FLOAT)
            codes.shape = real.shape = x.shape
            self._rounded[key] = real
        return self._rounded[key]

    def layer(
        self, build: Builder, node: ir.Node, layer: Layer, quantized: QuantizedLayer, prefix: str, x: ir.Value
    ) -> ir.Value:
        """Return the float output of ``node`` with its input ``x`` and its weights in int8."""
        record = quantized.record
        x = divided(build, x, record.balance_factors, layer, prefix)
        inputs = [self.tensor(build, x, record.activation, f"{prefix}.quant")]
        if layer.weight is not None:
            inputs.append(real_weight(build, layer, quantized, prefix))
        if quantized.bias is not None:
            inputs.append(self._bias(build, quantized, quantized.bias, prefix))
        return build.like(node, inputs, prefix, _FLOAT)

    def _bias(self, build: Builder, quantized: QuantizedLayer, bias: NDArray[np.int32], prefix: str) -> ir.Value:
        record = quantized.record
        deq = dequant_scale(record.activation.scale, np.asarray(record.weight_scales, np.float32))
        scales = np.broadcast_to(deq, bias.shape)
        if not self.dialect.integer_bias:
            return build.constant(f"{prefix}.bias", (bias * scales.astype(np.float64)).astype(np.float32))
        inputs = [build.constant(f"{prefix}.bias", bias), build.constant(f"{prefix}.bias.scale", scales)]
        return build.op("DequantizeLinear", inputs, f"{prefix}.bias.real", _FLOAT, {"axis": 0})
