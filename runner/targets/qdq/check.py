"""A written Q/DQ file, read again and held against the quantized layers that it shall hold, number for number.

What follows the nodes here is the file alone: the writer's names are used to find a layer and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from runner.arithmetic import dequant_scale, quantize_bias
from runner.graph.added_bias import bias_add, float_bias
from runner.graph.layers import Layer, LayeredModel
from runner.lint.finding import Finding
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers
from runner.session import LEVELS, Session, plain

# The version of this stage's meaning: raise it when the same file would show something else.
VERSION = 2

_LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_PLACING = ("Reshape", "Transpose")
_TO_UINT8 = 128


def check_against_layers(path: Path, form: QuantizedLayers, model: LayeredModel) -> list[Finding]:
    """Return where a file does not hold ``form``; empty when it does.

    Weights have to be int8 initializers, and scales, zero points, integers and balance factors those of the form, bit for
    bit; so has what an Add behind a matrix product adds.

    Args:
        path: of the file.
        form: what it shall hold.
        model: the float model that the layers are of.
    """
    file = _File.read(path)
    findings = [
        finding for name, layer in form.layers.items() for finding in file.check_layer(model.layer(name), layer)
    ]
    for name, quantized in form.layers.items():
        findings += file.check_added_bias(model.node(name), quantized)
    for key, tensor in form.tensors.items():
        findings += file.check_tensor(key, tensor.activation)
    others = sorted({node.domain for node in file.nodes.values() if node.domain})
    findings += [Finding("the file", "operators of the default domain alone", domain) for domain in others]
    return findings


def check_loads(path: Path) -> list[Finding]:
    """Return at which optimisation levels onnxruntime does not load a file."""
    findings = []
    for level in LEVELS:
        try:
            Session(path, plain(level), given=True)
        except Exception as error:  # whatever onnxruntime has against it is the finding
            findings.append(Finding("the file", f"loads at level {level}", str(error)[:200]))
    return findings


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """A model's nodes by name and by what they make, and its initializers."""

    nodes: Mapping[str, onnx.NodeProto]
    made: Mapping[str, onnx.NodeProto]
    constants: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, path: Path) -> _File:
        graph = onnx.load(path).graph
        return cls(
            {node.name: node for node in graph.node},
            {output: node for node in graph.node for output in node.output},
            {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer},
        )

    def check_layer(self, layer: Layer, quantized: QuantizedLayer) -> Iterator[Finding]:
        """Yield what is wrong with a layer."""
        node = self.nodes.get(layer.name)
        if node is None or node.op_type not in _LAYER_TYPES:
            yield Finding(layer.name, "a quantized layer", "no such node")
            return
        yield from self._check_rounded(layer.name, node.input[0], quantized.record.activation)
        if quantized.record.balance_factors:
            yield from self._check_balance(node, quantized.record.balance_factors)
        if layer.weight is not None:
            yield from self._check_weight(node, layer, quantized)
        if quantized.bias is not None:
            yield from self._check_bias(node, quantized, quantized.bias)

    def _check_bias(
        self, node: onnx.NodeProto, quantized: QuantizedLayer, bias: NDArray[np.int32]
    ) -> Iterator[Finding]:
        scales = np.broadcast_to(dequant_scale(quantized.record.activation.scale, _scales(quantized)), bias.shape)
        real = self.constants.get(node.input[2])
        if real is None:
            yield from self._check_arrays(node.name, node.input[2], {"bias": bias, "bias scale": scales})
        elif not np.array_equal(real, (bias * scales.astype(np.float64)).astype(np.float32)):
            yield Finding(node.name, "the bias as quantized, in float32", "another")

    def check_added_bias(self, product: ir.Node, quantized: QuantizedLayer) -> Iterator[Finding]:
        """Yield what is wrong with the Add behind a matrix product of the float model: a constant, or int32 dequantized."""
        add, bias = bias_add(product), float_bias(product)
        if add is None or bias is None:
            return
        bias = bias if quantized.shift is None else bias + quantized.shift
        node = self.nodes.get(add.name or "")
        sides = [] if node is None else [side for side in node.input if self._is_constant(side)]
        if len(sides) != 1:
            yield Finding(add.name or "", "one constant side", f"{len(sides)}")
        elif (real := self.constants.get(sides[0])) is not None:
            if not np.array_equal(real.reshape(-1), bias):
                yield Finding(add.name or "", "the bias of the layer before it", "another")
        else:
            scales = np.broadcast_to(dequant_scale(quantized.record.activation.scale, _scales(quantized)), bias.shape)
            codes = quantize_bias(bias, scales).astype(np.int32)
            yield from self._check_arrays(add.name or "", sides[0], {"bias": codes, "bias scale": scales})

    def _is_constant(self, name: str) -> bool:
        producer = self.made.get(name)
        stored = producer is not None and producer.op_type == _DEQUANTIZE and producer.input[0] in self.constants
        return name in self.constants or stored

    def _check_balance(self, node: onnx.NodeProto, factors: Sequence[float]) -> Iterator[Finding]:
        """Yield what is wrong with the Mul in front of the rounding that divides a layer's input by its balance factors."""
        source = node.input[0]
        for _ in range(2):  # behind DequantizeLinear and QuantizeLinear
            rounding = self.made.get(source)
            source = source if rounding is None else rounding.input[0]
        mul = self.made.get(source)
        held = self.constants.get(mul.input[1]) if mul is not None and mul.op_type == "Mul" else None
        if held is None:
            yield Finding(node.name, "a Mul by its balance factors before QuantizeLinear", "none")
        elif not np.array_equal(held.reshape(-1), np.float32(1) / np.asarray(factors, np.float32)):
            yield Finding(node.name, "a Mul by fl32(1 / balance factor)", "by other numbers")

    def check_tensor(self, key: str, params: ActivationParams) -> Iterator[Finding]:
        """Yield what is wrong with an input that is rounded, by its key ``node:input``."""
        name, _, index = key.rpartition(":")
        node = self.nodes.get(name)
        if node is None or int(index) >= len(node.input):
            yield Finding(key, "an input of a node", "no such node")
            return
        yield from self._check_rounded(key, node.input[int(index)], params)

    def _check_rounded(self, name: str, value: str, params: ActivationParams) -> Iterator[Finding]:
        """Yield what is wrong with a value that a pair of Q and DQ has to make."""
        dequantize = self.made.get(value)
        quantize = None if dequantize is None else self.made.get(dequantize.input[0])
        if dequantize is None or dequantize.op_type != _DEQUANTIZE or quantize is None or quantize.op_type != _QUANTIZE:
            yield Finding(name, "an input behind QuantizeLinear and DequantizeLinear", "none")
            return
        for node in (quantize, dequantize):
            scale, zero = (self.constants[of] for of in node.input[1:3])
            wanted = params.zero_point + (_TO_UINT8 if zero.dtype == np.uint8 else 0)
            if scale.shape or scale != np.float32(params.scale):
                yield Finding(name, f"activation scale {params.scale}", f"{scale} in {node.op_type}")
            if zero.shape or int(zero) != wanted:
                yield Finding(name, f"activation zero point {wanted} as {zero.dtype}", f"{zero} in {node.op_type}")

    def _check_weight(self, node: onnx.NodeProto, layer: Layer, quantized: QuantizedLayer) -> Iterator[Finding]:
        source, turned = node.input[1], False
        while (producer := self.made.get(source)) is not None and producer.op_type in _PLACING:
            source, turned = producer.input[0], True
        weight = layer.layout.rows(quantized.weight) if turned else quantized.weight
        expected: dict[str, NDArray[Any]] = {"weight": weight}
        if not turned and layer.op_type == "ConvTranspose" and layer.group > 1:
            by_group = np.broadcast_to(_scales(quantized), (layer.channels,)).reshape(layer.group, -1)[:, 0]
            expected["weight scale"] = np.repeat(by_group, len(weight) // layer.group)
        elif layer.per_channel or len(quantized.record.weight_scales) > 1:
            expected["weight scale"] = np.broadcast_to(_scales(quantized), (layer.channels,))
        else:
            expected["weight scale"] = _scales(quantized).reshape(())
        yield from self._check_arrays(layer.name, source, expected)

    def _check_arrays(self, name: str, value: str, expected: Mapping[str, NDArray[Any]]) -> Iterator[Finding]:
        """Yield what is wrong with the initializers that a DequantizeLinear reads."""
        dequantize = self.made.get(value)
        if dequantize is None or dequantize.op_type != _DEQUANTIZE:
            yield Finding(name, f"{next(iter(expected))} behind a DequantizeLinear", "none")
            return
        for (what, wanted), read in zip(expected.items(), dequantize.input, strict=False):
            got = self.constants.get(read)
            if got is None:
                yield Finding(name, f"{what} in an initializer", "none")
            elif got.dtype != wanted.dtype or got.shape != wanted.shape or not np.array_equal(got, wanted):
                yield Finding(
                    name, f"{what} as quantized, {wanted.dtype} {wanted.shape}", f"another, {got.dtype} {got.shape}"
                )
        zeros = self.constants.get(dequantize.input[2]) if len(dequantize.input) > 2 else None
        if zeros is not None and np.any(zeros):
            yield Finding(name, f"zero point 0 of {next(iter(expected))}", str(zeros.ravel()[:4]))


def _scales(quantized: QuantizedLayer) -> NDArray[np.float32]:
    return np.asarray(quantized.record.weight_scales, np.float32)
