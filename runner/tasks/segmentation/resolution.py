"""A mask in other resolutions: that of the model's input, and that of a small picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Frame, Size
from runner.dataset.truth import ClassMap


def at_input(mask: ClassMap) -> ClassMap:
    """Return the class of the nearest pixel of a mask at each pixel of the input; of those that the mask's photo covers."""
    frame = mask.frame
    rows, columns = (
        _pixels(frame.photo[axis], frame.taken[axis], frame.scale[axis], frame.offset[axis]) for axis in (0, 1)
    )
    (top, from_rows), (left, from_columns) = rows, columns
    classes = mask.classes[from_rows][:, from_columns]
    return ClassMap(
        classes, mask.ignore, Frame((classes.shape[0], classes.shape[1]), frame.taken, offset=(float(top), float(left)))
    )


def shown_pixels(size: Size, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and the columns of a mask by which it is shown with at most ``side`` pixels a side, evenly spaced."""
    height, width = size
    scale = min(1.0, side / max(height, width))
    rows, columns = (max(1, round(length * scale)) for length in (height, width))
    return _spaced(rows, height), _spaced(columns, width)


def _spaced(count: int, length: int) -> NDArray[np.int64]:
    return (2 * np.arange(count) + 1) * length // (2 * count)


def _pixels(photo: int, taken: int, scale: float, offset: float) -> tuple[int, NDArray[np.int64]]:
    """Return the first pixel of the input that the photo covers, and the photo's pixel at it and at each after it."""
    places = (np.arange(taken) + 0.5 - offset) / scale
    inside = np.flatnonzero((places >= 0) & (places < photo))
    first = int(inside[0]) if inside.size else 0
    return first, np.minimum(np.floor(places[inside]).astype(np.int64), photo - 1)
