"""Where a photo lies in a model's input: from the pixels that a model answers in to those that truth is told in, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# (height, width)
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """``input = photo * scale + offset``, in continuous pixels: a pixel i covers i to i + 1.

    Attributes:
        photo: size of the photo, as it is once turned upright where the preprocessing does that.
        taken: size of the model's input.
        scale: (vertical, horizontal) input pixels a photo pixel.
        offset: (vertical, horizontal) place of the photo's top left corner in the input; negative where it is cropped.
    """

    photo: Size
    taken: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def to_photo(self, corners: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return boxes [n, (x1, y1, x2, y2)] of the input in the photo's pixels, cut at its edges."""
        scale, offset = (np.array([pair[1], pair[0]] * 2, np.float64) for pair in (self.scale, self.offset))
        height, width = self.photo
        moved = (np.asarray(corners, np.float64).reshape(-1, 4) - offset) / scale
        return np.asarray(np.clip(moved, 0.0, np.array([width, height] * 2, np.float64)), np.float64)

    def cells(self, grid: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which row and which column of a grid over the whole input each row and column of the photo falls into.

        Args:
            grid: (rows, columns) of an output that covers the input.

        Returns:
            Rows of shape (photo height,) and columns of shape (photo width,); -1 where the input does not hold the photo's.
        """
        rows, columns = (
            _cells(self.photo[axis], self.taken[axis], self.scale[axis], self.offset[axis], grid[axis])
            for axis in (0, 1)
        )
        return rows, columns


def _cells(photo: int, taken: int, scale: float, offset: float, grid: int) -> NDArray[np.int64]:
    places = (np.arange(photo) + 0.5) * scale + offset
    cells = np.floor(places * grid / taken).astype(np.int64)
    return np.where((places >= 0) & (places < taken), np.clip(cells, 0, grid - 1), -1)
