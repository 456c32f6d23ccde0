"""A dumped tensor brought into the layout that the deploy file has it in.

    NCHW       the deploy file's own; what ``msaccucmp.py convert -f NCHW`` gives
    NHWC       channels last
    NC1HWC0    [N, ceil(C / C0), H, W, C0], the chip's own: channels in blocks of C0 (16, or 32 for int8), filled up
    FRACTAL_NZ [..., ceil(N / N0), ceil(M / M0), M0, N0] of a matrix [..., M, N], filled up
    flat       the same values with other axes: of size 1, or all in one

Source: CANN's documentation of formats, "Data Format" (NC1HWC0, FRACTAL_NZ).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def in_layouts(array: NDArray[Any], shape: tuple[int, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each reading of a dumped tensor that has the expected shape, the likeliest first, with its layout's name."""
    if array.shape == shape:
        yield "", array
        return
    if array.ndim == len(shape) and array.ndim > 2:
        first = np.moveaxis(array, -1, 1)
        if first.shape == shape:
            yield "NHWC", first
    unblocked = _unblocked(array, shape)
    if unblocked is not None:
        yield "NC1HWC0", unblocked
    matrix = _matrix(array, shape)
    if matrix is not None:
        yield "FRACTAL_NZ", matrix
    if array.size == int(np.prod(shape)) and (_long_axes(array.shape) == _long_axes(shape) or array.ndim == 1):
        yield "flat", array.reshape(shape)


def _unblocked(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return [N, C, H, W] of [N, C1, H, W, C0]; [N, C] counts as [N, C, 1, 1], and [N, C, L] as [N, C, 1, L]."""
    if array.ndim != 5 or not 2 <= len(shape) <= 4:
        return None
    full = {2: (*shape, 1, 1), 3: (*shape[:2], 1, *shape[2:]), 4: shape}[len(shape)]
    batch, blocks, height, width, block = array.shape
    if (batch, height, width) != (full[0], full[2], full[3]) or not 0 <= blocks * block - full[1] < block:
        return None
    channels = array.transpose(0, 1, 4, 2, 3).reshape(batch, blocks * block, height, width)
    return channels[:, : full[1]].reshape(shape)


def _matrix(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return [..., M, N] of [..., N1, M1, M0, N0]."""
    if len(shape) < 2 or array.ndim != len(shape) + 2 or array.shape[:-4] != shape[:-2]:
        return None
    outer, inner, rows, columns = array.shape[-4:]
    if not (0 <= inner * rows - shape[-2] < rows and 0 <= outer * columns - shape[-1] < columns):
        return None
    lead = list(range(array.ndim - 4))
    last = array.ndim - 4
    joined = array.transpose(*lead, last + 1, last + 2, last, last + 3)
    whole = joined.reshape(*array.shape[:-4], inner * rows, outer * columns)
    return whole[..., : shape[-2], : shape[-1]]


def _long_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
