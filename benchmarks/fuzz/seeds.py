"""Sound models, small enough that a whole job takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray
from onnx import numpy_helper

CLASSES, ITEMS = 5, 4
SHAPE = (2, 6, 6)


def items() -> NDArray[np.float32]:
    """Return what the models read, [ITEMS, 2, 6, 6]."""
    return np.random.default_rng(1).normal(size=(ITEMS, *SHAPE)).astype(np.float32)


def convolutions() -> onnx.ModelProto:
    """Return a small classifier as PyTorch exports it."""
    rng = np.random.default_rng(0)
    return _model(
        """g (float[N,2,6,6] x) => (float[N,5] logits) {
            first = Conv <pads = [1,1,1,1], kernel_shape = [3,3], group = 1> (x, w1)
            bn = BatchNormalization <epsilon = 0.001> (first, gamma, beta, mean, var)
            a = Relu (bn)
            pooled = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a)
            second = Conv (pooled, w2, b2)
            b = Clip (second, low, high)
            flat = Reshape (b, shape)
            logits = Gemm <transB = 1, alpha = 1.0> (flat, w3, b3)
        }""",
        17,
        w1=_normal(rng, 4, 2, 3, 3),
        gamma=np.ones(4, np.float32),
        beta=np.zeros(4, np.float32),
        mean=np.zeros(4, np.float32),
        var=np.ones(4, np.float32),
        w2=_normal(rng, 6, 4, 1, 1),
        b2=_normal(rng, 6),
        low=np.float32(0),
        high=np.float32(6),
        shape=np.array([0, 54]),
        w3=_normal(rng, CLASSES, 54),
        b3=_normal(rng, CLASSES),
    )


def branches() -> onnx.ModelProto:
    """Return a model of opset 20 with products, a body of a loop, a choice and sizes that are worked out."""
    rng = np.random.default_rng(2)
    return _model(
        """g (float[N,2,6,6] x) => (float[N,5] y, float scores) {
            size = Shape <start = 0, end = 1> (x)
            target = Concat <axis = 0> (size, rest)
            rows = Reshape (x, target)
            h = MatMul (rows, w1)
            normal = LayerNormalization <axis = -1> (h, gamma, beta)
            g = Gelu (normal)
            last = Loop (trips, yes, g) <body = b (int64 i, bool go, float[N,8] held) => (bool again, float[N,8] next) {
                next = Mul (held, half)
                again = Identity (go)
            }>
            picked = If (yes) <then_branch = t () => (float[N,8] one) { one = MatMul (last, w2) },
                               else_branch = e () => (float[N,8] other) { other = Identity (last) }>
            y = MatMul (picked, w3)
            scores = ReduceMean <keepdims = 0> (y)
        }""",
        20,
        rest=np.array([72]),
        w1=_normal(rng, 72, 8),
        gamma=np.ones(8, np.float32),
        beta=np.zeros(8, np.float32),
        trips=np.array(3),
        yes=np.array(True),
        half=np.float32(0.5),
        w2=_normal(rng, 8, 8),
        w3=_normal(rng, 8, CLASSES),
    )


def trained_quantized() -> onnx.ModelProto:
    """Return a model with QuantizeLinear and DequantizeLinear before its layers, as exported after training."""
    rng = np.random.default_rng(3)
    return _model(
        """g (float[N,2,6,6] x) => (float[N,5] logits) {
            xq = QuantizeLinear (x, sx, zx)
            xd = DequantizeLinear (xq, sx, zx)
            w1d = DequantizeLinear <axis = 0> (w1, s1, z1)
            c = Conv <pads = [1,1,1,1]> (xd, w1d, b1)
            r = Relu (c)
            rq = QuantizeLinear (r, sr, zr)
            rd = DequantizeLinear (rq, sr, zr)
            flat = Flatten (rd)
            w2d = DequantizeLinear (w2, s2, z2)
            logits = Gemm <transB = 1> (flat, w2d)
        }""",
        17,
        sx=np.float32(0.03),
        zx=np.uint8(128),
        sr=np.float32(0.02),
        zr=np.uint8(0),
        w1=rng.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8),
        s1=np.array([0.002, 0.003, 0.001, 0.002], np.float32),
        z1=np.zeros(4, np.int8),
        b1=_normal(rng, 4),
        w2=rng.integers(-127, 128, (CLASSES, 144)).astype(np.int8),
        s2=np.float32(0.001),
        z2=np.int8(0),
    )


def product() -> onnx.ModelProto:
    """Return the smallest network: one product of what lies in any shape of six numbers."""
    return _model(
        "g (float[N,6] x) => (float[N,5] y) { y = MatMul (x, w) }", 18, w=_normal(np.random.default_rng(4), 6, CLASSES)
    )


def photo_classifier() -> onnx.ModelProto:
    """Return a classifier of photos of 8 by 8 pixels."""
    rng = np.random.default_rng(5)
    return _model(
        """g (float[N,3,8,8] x) => (float[N,5] y) {
            c = Conv <strides = [2,2]> (x, w1)
            m = GlobalAveragePool (c)
            f = Flatten (m)
            y = Gemm <transB = 1> (f, w2)
        }""",
        18,
        w1=_normal(rng, 4, 3, 2, 2),
        w2=_normal(rng, CLASSES, 4),
    )


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(0, 0.5, shape).astype(np.float32)


def _model(graph: str, opset: int, **constants: NDArray[Any] | np.generic) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 9, producer_name: "seed", opset_import: ["" : {opset}]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    for node in model.graph.node:
        node.name = f"{node.op_type}_{node.output[0]}"
    onnx.checker.check_model(model, full_check=True)
    return model
