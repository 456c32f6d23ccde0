"""The sums of one int8 layer: codes with their offset, padding that holds the offset, then the compiler's correction.

    acc = sum(q * q_w) over codes padded with offset  +  (q_b - offset * sum(q_w))

Three ways to the same numbers:

* onnxruntime's ConvInteger on int8 codes and uint8 weights (128 more, and so is the zero point), where the machine's kernels
  for it are exact: the fastest for a convolution without groups;
* a float convolution or product over the integers. A code lies in -128..127, so every partial sum stays below
  ``128 * sum|q_w|`` and the magnitude of what is added; where that is below 2**24 for every channel it is exact in any order,
  and what it gives is the int32 number as a float. A sum with an addend of its own is never the negative zero. The fastest for
  groups and for averages, of which ConvInteger multiplies one small matrix each: 7 ms instead of 13 for the 17 depthwise
  layers of a MobileNetV2, 3 where onnxruntime may lay out images as it likes;
* the integer operators on uint8 codes and weights, which no CPU saturates; for any other layer, and for every one on request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner import integer_kernels as kernels
from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute
from runner.verify.deploy_file import IntegerLayer
from runner.verify.padding import has_overhang, padded, part, window
from runner.verify.transposed import spread

_FLOAT, _INT32, _INT64 = ir.DataType.FLOAT, ir.DataType.INT32, ir.DataType.INT64
_EXACT = 2**24
_LARGEST_CODE = 128
_MATRIX_NDIM = 2
_Way = Literal["narrow", "floats", "wide"]
Attributes = Mapping[str, int | float | str | list[int]]
_TO_UINT8 = 128


def accumulator_bound(layer: IntegerLayer) -> int:
    """Return a bound on the magnitude of the layer's int32 sums, bias included, that no input can exceed."""
    bound = _per_channel(layer, np.abs(layer.weight.astype(np.int16))) * max(127 - layer.offset, 128 + layer.offset)
    if layer.bias is not None:
        bound = bound + np.abs(layer.bias.astype(np.int64))
    return int(bound.max())


def layer_sums(
    build: Builder, layer: IntegerLayer, node: ir.Node, codes: ir.Value, *, integer_kernels: bool
) -> ir.Value:
    """Return the layer's sums, correction and bias included: int32, or float32 where no rounding is possible.

    Args:
        build: takes the nodes.
        layer: its integers.
        node: its node, for the attributes.
        codes: int8, offset included.
        integer_kernels: take the third way whatever else would do.
    """
    prefix = f"{layer.name}.sum"
    groups = integer_attribute(node, "group", 1)
    product = _Product(layer, prefix, "wide" if integer_kernels else _fastest(layer, groups))
    if layer.is_matrix:
        return product.of(build, codes, {})
    view = window(node, layer.weight.shape[2:])
    fill = np.int8(layer.offset)
    plain: Attributes = {"strides": list(view.strides), "dilations": list(view.dilations)}
    if layer.op_type == "AveragePool":
        image = padded(build, codes, view, fill, f"{layer.name}.pad", overhang=has_overhang(node, view))
        return _over_planes(build, image, prefix, lambda planes: product.of(build, planes, plain))
    group: Attributes = {"group": groups}
    if layer.op_type == "Conv":
        return product.of(build, padded(build, codes, view, fill, f"{layer.name}.pad"), {**plain, **group})
    image = spread(build, codes, node, view, fill, f"{layer.name}.spread")
    return product.of(build, image, {**plain, **group, "strides": [1] * len(view.strides)})


def over_channels(layer: IntegerLayer, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return values of an output channel each, or one of all, shaped to broadcast over the layer's output."""
    return values if layer.is_matrix else values.reshape(-1, *[1] * (layer.weight.ndim - 2))


def _fastest(layer: IntegerLayer, groups: int) -> _Way:
    # A matrix product would have to widen its codes first, which costs what it gains.
    narrow, floats = not layer.is_matrix and kernels.are_exact(), _exact_in_float(layer)
    if narrow and not (floats and (groups > 1 or layer.op_type == "AveragePool")):
        return "narrow"
    return "floats" if floats else "wide"


class _Product:
    """The convolution or matrix product of a layer, in one of the three ways."""

    def __init__(self, layer: IntegerLayer, prefix: str, way: _Way) -> None:
        self._layer, self._prefix, self._way = layer, prefix, way

    def of(self, build: Builder, codes: ir.Value, attributes: Attributes) -> ir.Value:
        """Return ``sum(codes * q_w)`` with what is added to it, int32 or float32."""
        layer, prefix = self._layer, self._prefix
        operator = "MatMul" if layer.is_matrix else "Conv"
        if self._way != "floats":
            total = self._integers(build, codes, f"{operator}Integer", attributes)
            # int32 numbers wrap; the sum is right where it fits.
            addend = build.constant(f"{prefix}.addend", over_channels(layer, _addend(layer).astype(np.int32)))
            return build.op("Add", [total, addend], f"{prefix}.int32", _INT32)
        weight = build.constant(f"{prefix}.weight", layer.weight.astype(np.float32))
        addend = build.constant(f"{prefix}.addend", _addend(layer).astype(np.float32))
        whole = build.cast(codes, _FLOAT, f"{prefix}.codes")
        if not layer.is_matrix:
            return build.op(operator, [whole, weight, addend], prefix, _FLOAT, dict(attributes))
        return build.op("Add", [build.op(operator, [whole, weight], prefix, _FLOAT), addend], f"{prefix}.added", _FLOAT)

    def _integers(self, build: Builder, codes: ir.Value, operator: str, attributes: Attributes) -> ir.Value:
        prefix = self._prefix
        zero_point = build.constant(f"{prefix}.zero_point", np.asarray(_TO_UINT8, np.uint8))
        weight = build.constant(f"{prefix}.weight", (self._layer.weight.astype(np.int16) + _TO_UINT8).astype(np.uint8))
        if self._way == "narrow":
            zero = build.constant(f"{prefix}.zero", np.asarray(0, np.int8))
            return build.op(operator, [codes, weight, zero, zero_point], prefix, _INT32, dict(attributes))
        shift = build.constant(f"{prefix}.shift", np.asarray(_TO_UINT8, np.int32))
        shifted = build.op("Add", [build.cast(codes, _INT32, f"{prefix}.wide"), shift], f"{prefix}.shifted", _INT32)
        unsigned = build.cast(shifted, ir.DataType.UINT8, f"{prefix}.unsigned")
        return build.op(operator, [unsigned, weight, zero_point, zero_point], prefix, _INT32, dict(attributes))


def _addend(layer: IntegerLayer) -> NDArray[np.int64]:
    """Return ``q_b - offset * sum(q_w)`` for each output channel: the bias with the correction that the compiler adds to it."""
    addend = -layer.offset * _per_channel(layer, layer.weight)
    return addend if layer.bias is None else addend + layer.bias


def _exact_in_float(layer: IntegerLayer) -> bool:
    products = _LARGEST_CODE * _per_channel(layer, np.abs(layer.weight.astype(np.int16)))
    return bool(np.all(products + np.abs(_addend(layer)) < _EXACT))


def _per_channel(layer: IntegerLayer, weight: NDArray[np.signedinteger]) -> NDArray[np.int64]:
    """Return the sum of the weights of each output channel: shape (channels,), or [..., 1, N] of a batch of matrices."""
    if layer.is_matrix:
        # A row of a matrix alone has no axis to keep: its product with a vector has none.
        return np.asarray(weight.sum(axis=-2, keepdims=weight.ndim > _MATRIX_NDIM, dtype=np.int64), np.int64)
    return np.asarray(weight.reshape(weight.shape[0], -1).sum(axis=1, dtype=np.int64), np.int64)


def _over_planes(build: Builder, image: ir.Value, prefix: str, sums: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """Return the sums of each channel of ``image`` [N, C, H, W] on its own: of N * C images of one channel."""
    single = build.constant(f"{prefix}.single", np.array([-1, 1, 0, 0], np.int64))
    total = sums(build.op("Reshape", [image, single], f"{prefix}.planes", ir.DataType.INT8))
    lead = part(build, build.op("Shape", [image], f"{prefix}.shape", _INT64), 0, 2, f"{prefix}.lead")
    rest = build.constant(f"{prefix}.rest", np.zeros(2, np.int64))
    whole = build.op("Concat", [lead, rest], f"{prefix}.whole", _INT64, {"axis": 0})
    return build.op("Reshape", [total, whole], f"{prefix}.channels", total.dtype or _FLOAT)
