"""Where an image's pixels go: sizes, places and filters, each as the project that it comes from has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Frame, Size
from runner.errors import ConfigError

# What most detectors are trained at.
_OPEN = (640, 640)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The whole image, as large as it fits into a frame, and the rest of the frame filled.

    Attributes:
        size: [height, width] of the frame; None for what the model takes, and 640 x 640 where that is open.
        place: where the image lies: in the middle, its size and place rounded as ultralytics' LetterBox does, or in the
            top left corner, its size cut to whole pixels as YOLOX's preproc does.
        value: of the rest, 0..255, in every channel.
    """

    size: list[int] | None = None
    place: Literal["center", "corner"] = "center"
    value: int = 114

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or any(side < 1 for side in self.size)):
            raise ConfigError(f"dataset.preprocess.letterbox.size: expected [height, width], got {self.size}")
        if self.place not in ("center", "corner"):
            raise ConfigError(f"dataset.preprocess.letterbox.place: expected center or corner, got {self.place}")
        if not 0 <= self.value <= 255:
            raise ConfigError(f"dataset.preprocess.letterbox.value: expected 0 to 255, got {self.value}")

    @property
    def sides(self) -> Size:
        """(height, width) of the frame."""
        height, width = self.size or _OPEN
        return height, width

    def fitted(self, image: Size) -> Size:
        """Return the size that an image gets."""
        ratio = self._ratio(image)
        whole = round if self.place == "center" else int
        height, width = (max(1, whole(side * ratio)) for side in image)
        return height, width

    def frame(self, image: Size) -> Frame:
        """Return where an image lies in it; both projects read boxes back by the ratio before its size was rounded."""
        top, left = self.place_of(self.fitted(image))
        ratio = self._ratio(image)
        return Frame(image, self.sides, (ratio, ratio), (float(top), float(left)))

    def _ratio(self, image: Size) -> float:
        return min(frame / side for frame, side in zip(self.sides, image, strict=True))

    def place_of(self, size: Size) -> tuple[int, int]:
        """Return (top, left) of an image of a fitted size in the frame."""
        if self.place == "corner":
            return 0, 0
        height, width = self.sides
        return round((height - size[0]) / 2 - 0.1), round((width - size[1]) / 2 - 0.1)

    def framed(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pixels [height, width, channels] of a fitted size in their frame."""
        frame = np.full((*self.sides, pixels.shape[2]), self.value, np.uint8)
        height, width = pixels.shape[:2]
        top, left = self.place_of((height, width))
        frame[top : top + height, left : left + width] = pixels
        return frame

    def settings(self) -> list[Any]:
        """Return everything that the result depends on."""
        return [list(self.sides), self.place, self.value]


def short_side(image: Size, side: int, *, torchvision: bool = False) -> Size:
    """Return the size of an image whose short side gets a length; the long one rounded, or cut as torchvision does."""
    shorter = min(image)
    if torchvision:
        height, width = (side if length == shorter else int(side * length / shorter) for length in image)
    else:
        ratio = side / shorter
        height, width = (max(1, round(length * ratio)) for length in image)
    return height, width


def middle(image: Size, side: int, *, torchvision: bool = False) -> Size:
    """Return (top, left) of a square in an image's middle; half a pixel is cut, or rounded to even as torchvision does."""
    if torchvision:
        return round((image[0] - side) / 2), round((image[1] - side) / 2)
    return (image[0] - side) // 2, (image[1] - side) // 2


def opencv_bilinear(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return pixels [height, width, channels] resized as OpenCV's resize does by default (INTER_LINEAR), bit for bit.

    Two pixels a direction count, also where an image shrinks; Pillow's bilinear filter averages there. OpenCV computes it in
    fixed point: weights of 11 bits, four bits dropped between the passes.
    """
    left, right, weight_left, weight_right = _neighbours(pixels.shape[1], size[1], clamp=True)
    # Rows beyond the edge are the row at the edge, with their weights; columns lose theirs.
    upper, lower, weight_upper, weight_lower = _neighbours(pixels.shape[0], size[0], clamp=False)
    wide = pixels.astype(np.int32)
    rows = wide[:, left] * weight_left[:, np.newaxis] + wide[:, right] * weight_right[:, np.newaxis]
    rows >>= 4
    above = (weight_upper[:, np.newaxis, np.newaxis] * rows[upper]) >> 16
    below = (weight_lower[:, np.newaxis, np.newaxis] * rows[lower]) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)


def _neighbours(source: int, target: int, *, clamp: bool) -> tuple[NDArray[np.int64], ...]:
    """Return the two source pixels of each target pixel and their weights, which sum to 2048 but for rounding."""
    place = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    share = place - first.astype(np.float32)
    if clamp:
        share[(first < 0) | (first >= source - 1)] = 0
    weights = [np.rint(part * np.float32(2048)).astype(np.int32) for part in (np.float32(1) - share, share)]
    return np.clip(first, 0, source - 1), np.clip(first + 1, 0, source - 1), weights[0], weights[1]
