"""Nodes at random, with integers for which int8 is exact, against onnxruntime's own float kernels.

The data reach from -128 to 127, so that a code is a value, and the weights of each channel have 127 for their largest. All that
is left of quantization then is one rounding of each output.
"""

from __future__ import annotations

import numpy as np
import pytest

from runner.graph.layers import LAYER_TYPES
from tests.models import plain_session
from tests.verify.one_node import F, node_model, put_through

OPSETS = range(7, 25)
# Beginnings of reasons why a node may stay float; whatever else stays is a fault.
MAY_STAY = (
    "a transposed convolution over 3 axes",
    "a transposed convolution is quantized only with dilations of 1",
    "its output_shape",
    "a convolution over 3 axes is quantized only with a dilation of 1 along the first",
    "an average over 3 axes",
    "an average with dilations",
    "with its ceil_mode a window could lie",
    "its strides are longer than its window",
    "the weight has 4 axes",
    "the weight is a vector",
    "a vector times a batch",
)


class Draw:
    """Draws one node."""

    def __init__(self, op_type: str, seed: int) -> None:
        self.rng = np.random.default_rng([LAYER_TYPES.index(op_type), seed])
        self.op_type = op_type
        self.opset = int(self.rng.choice(OPSETS))
        self.attributes = {}
        self.constants = {}
        self.inputs = ["x"]
        getattr(self, op_type.lower())()
        self.model = node_model(op_type, self.inputs, self.x, self.constants, opset=self.opset, **self.attributes)

    def __str__(self) -> str:
        shapes = {name: array.shape for name, array in {"x": self.x, **self.constants}.items()}
        return f"{self.op_type} at opset {self.opset}, {self.attributes}, {shapes}"

    def often(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def numbers(self, count: int, low: int, high: int) -> list[int]:
        return [self.number(low, high) for _ in range(count)]

    def data(self, *shape: int) -> None:
        self.x = self.rng.integers(-128, 128, shape).astype(F)
        self.x.reshape(-1)[0], self.x.reshape(-1)[-1] = -128, 127

    def constant(self, name: str, array) -> None:
        self.constants[name] = np.asarray(array, F)
        self.inputs.append(name)

    def window(self, axes: int, *, dilated: float) -> list[int]:
        """Draw a window's attributes; return the kernel."""
        kernel, dilations = self.numbers(axes, 1, 3), [1] * axes
        if self.often(0.6):
            self.attributes["strides"] = self.numbers(axes, 1, 4)
        if self.often(dilated):
            self.attributes["dilations"] = dilations = self.numbers(axes, 1, 2)
        if self.often(0.4):
            # What SAME means to an average whose strides are longer than its window differs between opsets in onnxruntime.
            longer = any(s > k for s, k in zip(self.attributes.get("strides", kernel), kernel, strict=True))
            modes = ["VALID", "NOTSET", "SAME_UPPER", "SAME_LOWER"]
            self.attributes["auto_pad"] = modes[self.number(0, 1 if longer and self.op_type == "AveragePool" else 3)]
        if self.attributes.get("auto_pad", "NOTSET") == "NOTSET" and self.often(0.6):
            ends = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
            # AveragePool takes less padding than its kernel is long.
            ends = [min(e, k - 1) for e, k in zip(ends, kernel, strict=True)]
            self.attributes["pads"] = [self.number(0, end) for _ in range(2) for end in ends]
        if self.op_type == "AveragePool" or self.often(0.6):
            self.attributes["kernel_shape"] = kernel
        return kernel

    def channels(self) -> tuple[int, int, int]:
        group = self.number(1, 3) if self.often(0.5) else 1
        if group > 1:
            self.attributes["group"] = group
        return group, group * self.number(1, 3), group * self.number(1, 3)

    def bias(self, channels: int) -> None:
        if self.often(0.6):
            self.constant("b", self.rng.integers(-500, 500, channels))

    def weights(self, *shape: int):
        return self.rng.integers(-127, 128, shape)

    def conv(self) -> None:
        axes = (1, 2, 2, 3)[self.number(0, 3)]
        group, inputs, outputs = self.channels()
        weight = self.weights(outputs, inputs // group, *self.window(axes, dilated=0.3))
        weight[:, 0] = 127
        self.data(self.number(1, 2), inputs, *self.numbers(axes, 3, 7))
        self.constant("w", weight)
        self.bias(outputs)

    def convtranspose(self) -> None:
        axes = (1, 2, 2, 3)[self.number(0, 3)]
        group, inputs, outputs = self.channels()
        kernel = self.window(axes, dilated=0.1)
        weight = self.weights(inputs, outputs // group, *kernel)
        weight[:: inputs // group] = 127
        self.data(self.number(1, 2), inputs, *self.numbers(axes, 3, 7))
        strides = self.attributes.get("strides", [1] * axes)
        if self.often(0.4):
            self.attributes["output_padding"] = [self.number(0, stride - 1) for stride in strides]
        if self.often(0.3):
            full = [s * (n - 1) + k for s, n, k in zip(strides, self.x.shape[2:], kernel, strict=True)]
            self.attributes["output_shape"] = [max(1, size + self.number(-3, 3)) for size in full]
        self.constant("w", weight)
        self.bias(outputs)

    def averagepool(self) -> None:
        axes = (1, 2, 2, 3)[self.number(0, 3)]
        self.window(axes, dilated=0.2 if self.opset >= 19 else 0)
        if self.often(0.4):
            self.attributes["count_include_pad"] = 1
        if self.opset >= 10 and self.often(0.4):
            self.attributes["ceil_mode"] = 1
        self.data(*self.numbers(2, 1, 3), *self.numbers(axes, 3, 8))

    def gemm(self) -> None:
        rows, depth, columns = self.number(2, 6), *self.numbers(2, 1, 6)
        turned = {key: int(self.often(0.4)) for key in ("transA", "transB")}
        # Powers of two, for any other factor rounds the weights.
        factors = {key: (0.5, 2.0, -1.0, 1.0)[self.number(0, 3)] for key in ("alpha", "beta")}
        self.attributes |= {key: value for key, value in {**turned, **factors}.items() if self.often(0.6)}
        depth_first = not self.attributes.get("transB", 0)
        weight = self.weights(depth, columns) if depth_first else self.weights(columns, depth)
        weight.reshape(-1)[0] = 127 * np.sign(self.attributes.get("alpha", 1))
        self.data(*((depth, rows) if self.attributes.get("transA", 0) else (rows, depth)))
        self.constant("w", weight)
        if self.opset < 11 or self.often(0.7):
            shapes = [(columns,), (1, columns), (rows, columns), (rows, 1), (1, 1), (1,), ()]
            self.constant("b", 2 * self.rng.integers(-500, 500, shapes[self.number(0, len(shapes) - 1)]))

    def matmul(self) -> None:
        depth, columns, batch = self.number(2, 6), self.number(1, 5), self.number(1, 2)
        shapes = [(depth,), *[(*lead, depth, columns) for lead in ((), (batch,), (1, batch), (batch, 1))]]
        weight = self.weights(*shapes[self.number(0, len(shapes) - 1)])
        weight.reshape(-1)[0] = 127
        leads = [(), (3,), (2, 3), (2, 2, 3)]
        self.data(*leads[self.number(0, 3)], depth)
        self.constant("w", weight)


def runs(drawn: Draw) -> bool:
    """Return whether onnxruntime takes a node at all: some attributes exclude each other."""
    try:
        plain_session(drawn.model).run(None, {"x": drawn.x})
    except Exception:  # onnxruntime's exceptions share no public base class
        return False
    return True


@pytest.mark.parametrize("op_type", LAYER_TYPES)
def test_random_nodes_are_exact_in_both_files(op_type, tmp_path):
    quantized = 0
    for seed in range(36):
        drawn = Draw(op_type, seed)
        if not runs(drawn):
            continue
        outcome = put_through(tmp_path, drawn.model, drawn.x)
        for reason in outcome.left:
            assert reason.startswith(MAY_STAY), f"{drawn}: {reason}"
        largest = np.abs(outcome.expected).max(initial=0)
        np.testing.assert_allclose(outcome.output, outcome.expected, rtol=3e-6, atol=1e-6 * largest, err_msg=str(drawn))
        quantized += not outcome.left
    assert quantized >= 12


def test_random_nodes_hold_every_form_that_matters():
    drawn = [Draw(op_type, seed) for op_type in LAYER_TYPES for seed in range(36)]
    attributes = {key for node in drawn for key in node.attributes}
    assert attributes >= {
        *("auto_pad", "pads", "strides", "dilations", "group", "output_padding", "output_shape"),
        *("ceil_mode", "count_include_pad", "transA", "transB", "alpha", "beta"),
    }
    assert {node.opset for node in drawn} == set(OPSETS)
