"""A layer's weight with its output channels first, whatever the operator's own layout.

    operator        stored                      channels first
    Conv            [Cout, Cin/group, k...]     the same
    ConvTranspose   [Cin, Cout/group, k...]     [Cout, Cin/group, k...], the channels of the first group first
    Gemm            [K, N] (transB = 0)         [N, K]
    MatMul          [K, N]                      [N, K]
                    [B, K, N]                   [B * N, K], the outputs of the first matrix first
    AveragePool     ones [1, 1, k...]           the same

Rows of inputs are what scales, sums and splits speak of, so only this file knows the layouts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def channels_first(weight: NDArray[Any], op_type: str, group: int = 1) -> NDArray[Any]:
    """Return a stored weight as [outputs, inputs of one output, k...]."""
    if op_type in ("Gemm", "MatMul"):
        return weight.swapaxes(-1, -2).reshape(-1, weight.shape[-2])
    if op_type == "ConvTranspose":
        inputs, outputs, *kernel = weight.shape
        grouped = weight.reshape(group, inputs // group, outputs, *kernel)
        return grouped.swapaxes(1, 2).reshape(group * outputs, inputs // group, *kernel)
    return weight


def output_channels(shape: tuple[int, ...], op_type: str, group: int = 1) -> int:
    """Return the length of the channel axis of what a layer with a weight of this stored shape computes."""
    if op_type == "ConvTranspose":
        return shape[1] * group
    return shape[-1 if op_type in ("Gemm", "MatMul") else 0]


def as_stored(rows: NDArray[Any], op_type: str, shape: tuple[int, ...], group: int = 1) -> NDArray[Any]:
    """Return ``channels_first`` undone: contiguous, of the stored ``shape``."""
    if op_type in ("Gemm", "MatMul"):
        rows = rows.reshape(-1, shape[-1], shape[-2]).swapaxes(1, 2)
    elif op_type == "ConvTranspose":
        outputs, inputs, *kernel = rows.shape
        rows = rows.reshape(group, outputs // group, inputs, *kernel).swapaxes(1, 2)
    return np.ascontiguousarray(rows).reshape(shape)
