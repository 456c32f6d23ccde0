"""The digest of outputs: of all bits, types and shapes, and exact in a row of scores."""

from __future__ import annotations

import hashlib

import numpy as np

from runner.output_digest import output_digest

A = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_it_is_the_head_of_the_sha256_of_types_shapes_and_bits() -> None:
    text = b"<f4(2, 3);" + A.tobytes() + b"<i8(1,);" + np.array([7]).tobytes()
    head = np.frombuffer(hashlib.sha256(text).digest()[:12], "<u4")
    assert output_digest([A, np.array([7])]) == tuple(map(float, head))
    # A row of scores keeps it as it is.
    assert np.array([output_digest([A])]).tolist() == [list(output_digest([A]))]


def test_any_bit_type_shape_or_order_makes_another() -> None:
    zero, nan = np.zeros(1, np.float32), np.array([np.nan], np.float32)
    other_nan = nan.copy()
    other_nan.view(np.uint32)[0] ^= 1
    outputs = [
        [A],
        [A.T],
        [A.reshape(3, 2)],
        [A.astype(np.float64)],
        [A.view(np.int32)],
        [np.nextafter(A, np.float32(9))],
        [A, zero],
        [zero, A],
        [zero],
        [-zero],
        [nan],
        [other_nan],
        [],
        [np.array(1.5, np.float32)],
    ]
    assert len({output_digest(each) for each in outputs}) == len(outputs)


def test_layout_in_memory_does_not_matter() -> None:
    assert output_digest([np.asfortranarray(A)]) == output_digest([A])
