"""Dumps in the chip's layouts, made by the definition of each, element by element."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from runner.dumps.layout import in_layouts


def blocked(x, block):
    """Return NC1HWC0 of NCHW, filled with zeros, by its definition."""
    n, c, h, w = x.shape
    out = np.zeros((n, -(-c // block), h, w, block), x.dtype)
    for i, j, k, m in itertools.product(*map(range, x.shape)):
        out[i, j // block, k, m, j % block] = x[i, j, k, m]
    return out


def fractal(x, rows, columns):
    """Return FRACTAL_NZ of [..., M, N], filled with zeros, by its definition."""
    m, n = x.shape[-2:]
    out = np.zeros((*x.shape[:-2], -(-n // columns), -(-m // rows), rows, columns), x.dtype)
    for i, j in itertools.product(range(m), range(n)):
        out[..., j // columns, i // rows, i % rows, j % columns] = x[..., i, j]
    return out


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


X, M = numbers(2, 20, 3, 4), numbers(3, 18, 21)
CASES = {
    "as it is": (X, X, ""),
    "channels last": (X.transpose(0, 2, 3, 1), X, "NHWC"),
    "channels last of a volume": (numbers(1, 2, 3, 4, 5).transpose(0, 2, 3, 4, 1), numbers(1, 2, 3, 4, 5), "NHWC"),
    "blocks of 16": (blocked(X, 16), X, "NC1HWC0"),
    "blocks of 32": (blocked(X, 32), X, "NC1HWC0"),
    "blocks of a matrix": (blocked(X[:, :, :1, :1], 16), X[:, :, 0, 0], "NC1HWC0"),
    "blocks of a sequence": (blocked(X[:, :, :1], 16), X[:, :, 0], "NC1HWC0"),
    "fractals": (fractal(M, 16, 16), M, "FRACTAL_NZ"),
    "fractals of int8": (fractal(M[0], 16, 32), M[0], "FRACTAL_NZ"),
    "an axis of one more": (X[:, :, None], X, "flat"),
    "all in one": (X.reshape(-1), X, "flat"),
}


@pytest.mark.parametrize(("dumped", "expected", "layout"), CASES.values(), ids=CASES.keys())
def test_layout_is_found_and_undone(dumped, expected, layout) -> None:
    found = list(in_layouts(dumped, expected.shape))
    assert found[0][0] == layout
    np.testing.assert_array_equal(found[0][1], expected)


@pytest.mark.parametrize("shape", [(2, 20, 4, 3), (2, 5, 3, 4), (480, 1, 2), (7,)], ids=str)
def test_tensor_that_no_layout_explains_has_no_reading(shape) -> None:
    assert [layout for layout, _ in in_layouts(X, shape)] == []
