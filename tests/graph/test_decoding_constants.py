"""Which weights are constants of a decoding: numbers that are evenly spaced, and never those that were trained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runner.graph.decoding_constants import why_decoding
from runner.graph.layers import find_layers
from runner.targets.ascend.limits import ASCEND
from tests.models import model

ARANGE = np.arange(16, dtype=np.float32)
GRID = np.stack(np.meshgrid(np.arange(6), np.arange(8)), axis=-1).reshape(-1, 2).astype(np.float32)
CONV, GEMM, TRANSPOSED, MATMUL = (
    "y = Conv (x, w)",
    "y = Gemm (x, w)",
    "y = Gemm <transB = 1> (x, w)",
    "y = MatMul (x, w)",
)


def reason(weight: NDArray, node: str = CONV) -> str | None:
    shape = "1,16,4,4" if "Conv" in node else "1,16"
    graph = model(f"g (float[{shape}] x) => (float[?] y) {{ {node} }}", w=weight.astype(np.float32))
    return why_decoding(next(iter(graph.graph)))


@pytest.mark.parametrize(
    ("weight", "node"),
    [
        pytest.param(ARANGE.reshape(1, 16, 1, 1), CONV, id="distribution of distances"),
        pytest.param(8 * ARANGE.reshape(1, 16, 1, 1), CONV, id="times the stride"),
        pytest.param(ARANGE.reshape(1, 16, 1, 1)[:, ::-1], CONV, id="falling"),
        pytest.param(ARANGE.reshape(16, 1), MATMUL, id="MatMul"),
        pytest.param(ARANGE.reshape(16, 1), GEMM, id="Gemm"),
        pytest.param(ARANGE.reshape(1, 16), TRANSPOSED, id="transposed Gemm"),
        pytest.param(np.linspace(-1, 1, 48).reshape(48, 1), MATMUL, id="linspace, rounded to float32"),
        pytest.param(ARANGE.astype(np.float16).reshape(16, 1), MATMUL, id="through float16"),
        pytest.param(GRID, MATMUL, id="places of a grid"),
        pytest.param((GRID + 0.5) / 8, MATMUL, id="centres of a grid's cells"),
        pytest.param(np.tile(ARANGE, (4, 1)).reshape(4, 16, 1, 1), CONV, id="a channel a side"),
        pytest.param(np.arange(4).reshape(1, 4, 1, 1), CONV, id="four bins"),
    ],
)
def test_evenly_spaced_numbers_are_a_decoding(weight: NDArray, node: str) -> None:
    found = reason(weight, node)
    low, high = f"{np.float32(weight.min()):.6g}", f"{np.float32(weight.max()):.6g}"
    assert found == (
        f"its weights are evenly spaced numbers, {low} to {high}: constants that decode the output, not trained ones"
    )


@pytest.mark.parametrize(
    "weight",
    [
        pytest.param(np.arange(3).reshape(1, 3, 1, 1), id="three numbers may be so by chance"),
        pytest.param(np.eye(16).reshape(16, 16, 1, 1), id="identity"),
        pytest.param(np.ones((4, 16, 1, 1)), id="average"),
        pytest.param(np.eye(12)[::2].reshape(6, 3, 2, 2), id="space to depth"),
        pytest.param(np.tile([1, 0, -1, 2, 0, -2, 1, 0, -1], (4, 1)).reshape(4, 1, 3, 3), id="gradients"),
        pytest.param(np.outer([1, 3, 3, 1], [1, 3, 3, 1]).reshape(1, 1, 4, 4) / 16, id="bilinear"),
        pytest.param(np.stack([ARANGE, ARANGE**2]).reshape(2, 16, 1, 1), id="one of two channels"),
        pytest.param(np.where(ARANGE == 7, 7.001, ARANGE).reshape(1, 16, 1, 1), id="nearly even"),
        pytest.param(np.repeat([0, 1], 8).reshape(1, 16, 1, 1), id="two numbers, repeated"),
        pytest.param(np.repeat(np.arange(5), 3)[:14].reshape(1, 14, 1, 1), id="not repeated as often"),
    ],
)
def test_other_weights_are_layers_like_any(weight: NDArray) -> None:
    assert reason(weight) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(4, 20), st.booleans())
def test_trained_weights_are_never_taken_for_a_decoding(seed: int, outputs: int, inputs: int, half: bool) -> None:
    weight = np.random.default_rng(seed).normal(0, 0.1, (outputs, inputs, 1, 1))
    assert reason(weight.astype(np.float16) if half else weight) is None


def test_the_layer_is_found_and_told_apart() -> None:
    graph = model(
        """g (float[1,16,4,4] x) => (float[?] y) {
            [first] a = Conv (x, v)
            [bins] y = Conv (a, w)
        }""",
        v=np.random.default_rng(0).normal(size=(16, 16, 1, 1)).astype(np.float32),
        w=ARANGE.reshape(1, 16, 1, 1),
    )
    found = find_layers(graph, ASCEND)
    assert [layer.name for layer in found.layers] == ["first", "bins"]
    assert [(left.name, left.op_type) for left in found.better_float] == [("bins", "Conv")]
    assert found.left_alone == ()
