"""Channels first, seen through what onnxruntime computes with one weight alone."""

from __future__ import annotations

import numpy as np
import pytest

from runner.graph.weight_layout import as_stored, channels_first
from runner.session import REFERENCE, Session
from tests.models import model

# operator, attributes, stored shape, group, input shape without batch
LAYOUTS = {
    "conv": ("Conv", "<group=2>", (4, 3, 2), 2, (6, 2)),
    "transpose": ("ConvTranspose", "<group=2>", (6, 2, 1, 1), 2, (6, 1, 1)),
    "gemm": ("Gemm", "", (5, 3), 1, (5,)),
    "matmul": ("MatMul", "", (5, 3), 1, (5,)),
    "matmul_batch_of_one": ("MatMul", "", (1, 5, 3), 1, (5,)),
    "matmul_batch": ("MatMul", "", (2, 5, 3), 1, (5,)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_row_of_a_weight_is_the_output_channel_that_it_moves(name):
    op, attributes, shape, group, inputs = LAYOUTS[name]
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
        rows = channels_first(weight, op, group)
        assert np.flatnonzero(rows.reshape(rows.shape[0], -1).any(axis=1)).tolist() == moved.tolist()


@pytest.mark.parametrize("name", LAYOUTS)
def test_stored_layout_comes_back(name):
    op, _, shape, group, _ = LAYOUTS[name]
    weight = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(as_stored(channels_first(weight, op, group), op, shape, group), weight)
