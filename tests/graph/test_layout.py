"""Rows of weights, seen through what onnxruntime computes with one weight alone."""

from __future__ import annotations

import numpy as np
import pytest

from runner.graph.layout import InputsFirst, Matrix, OutputsFirst
from runner.session import REFERENCE, Session
from tests.models import model

# operator, attributes, stored shape, layout, input shape without batch
LAYOUTS = {
    "conv": ("Conv", "<group=2>", (4, 3, 2), OutputsFirst(2), (6, 2)),
    "transpose": ("ConvTranspose", "<group=2>", (6, 2, 1, 1), InputsFirst(2), (6, 1, 1)),
    "gemm": ("Gemm", "", (5, 3), Matrix(), (5,)),
    "transposed_gemm": ("Gemm", "<transB=1>", (3, 5), OutputsFirst(), (5,)),
    "matmul": ("MatMul", "", (5, 3), Matrix(), (5,)),
    "matmul_batch_of_one": ("MatMul", "", (1, 5, 3), Matrix(3), (5,)),
    "matmul_batch": ("MatMul", "", (2, 5, 3), Matrix(3), (5,)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_row_of_a_weight_is_the_output_channel_that_it_moves(name):
    op, attributes, shape, layout, inputs = LAYOUTS[name]
    x = np.ones((1, *inputs), np.float32)
    for place in range(int(np.prod(shape))):
        weight = np.zeros(shape, np.float32)
        weight.flat[place] = 1
        dims = ",".join(map(str, x.shape))
        built = model(f"g (float[{dims}] x) => (float[] y) {{ y = {op}{attributes}(x, w) }}", w=weight)
        (y,) = Session(built, REFERENCE).run({"x": x})
        # One row of input, so that every number of a product is an output of its own.
        channels = np.moveaxis(y, 1, 0) if "Conv" in op else y.reshape(-1, 1)
        moved = np.flatnonzero(channels.reshape(channels.shape[0], -1).any(axis=1))
        rows = layout.rows(weight)
        assert np.flatnonzero(rows.reshape(rows.shape[0], -1).any(axis=1)).tolist() == moved.tolist()


@pytest.mark.parametrize("name", LAYOUTS)
def test_stored_layout_comes_back(name):
    _, _, shape, layout, _ = LAYOUTS[name]
    weight = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(layout.stored(layout.rows(weight), shape), weight)


@pytest.mark.parametrize("name", LAYOUTS)
def test_axes_are_as_long_as_there_are_outputs_and_inputs(name):
    _, _, shape, layout, _ = LAYOUTS[name]
    rows = layout.rows(np.zeros(shape))
    matrices = shape[0] if layout.is_batch else 1
    assert len(rows) == layout.channels(shape) * matrices
    assert shape[layout.channel_axis] * (layout.group if layout.scale_axis is None else 1) == layout.channels(shape)
    assert shape[layout.input_axis] == rows.shape[1] * (layout.group if layout.scale_axis is None else 1)
