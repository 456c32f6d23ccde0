"""From pixels or raw arrays to model input: ``y = (x * scale - mean) / std`` in float32, channels first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runner.errors import ConfigError, DatasetError

_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
ChannelValues = float | list[float]


@dataclass(frozen=True, slots=True)
class Normalize:
    """``y = (x * scale - mean) / std``; ``mean`` and ``std`` are one number or one per channel."""

    scale: float = 1.0
    mean: ChannelValues = 0.0
    std: ChannelValues = 1.0

    def __post_init__(self) -> None:
        if np.any(np.asarray(self.std, np.float64) == 0):
            raise ConfigError(f"dataset.preprocess.std: expected no zero, got {self.std}")

    @property
    def changes_nothing(self) -> bool:
        """Return whether the result is the argument."""
        return self.scale == 1 and not np.any(self.mean) and bool(np.all(np.asarray(self.std) == 1))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``x`` of shape (channels, ...) normalized; the channel axis is the first."""
        mean, std = self._per_channel("mean", x.shape), self._per_channel("std", x.shape)
        result: NDArray[np.float32] = (x.astype(np.float32) * np.float32(self.scale) - mean) / std
        return result

    def table(self, channels: int) -> NDArray[np.float32]:
        """Return the result for every byte value, shape (channels, 256): the same bits, looked up instead of computed."""
        return self(np.broadcast_to(np.arange(256, dtype=np.uint8), (channels, 256)))

    def _per_channel(self, key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array = np.asarray(getattr(self, key), np.float32)
        if array.ndim == 0:
            return array
        if shape[:1] != array.shape:
            raise ConfigError(
                f"dataset.preprocess.{key}: expected one number or one a channel ({shape[0] if shape else 0}), "
                f"got {array.size}"
            )
        return array.reshape(-1, *[1] * (len(shape) - 1))


@dataclass(frozen=True, slots=True)
class ImagePreprocess:
    """How an image becomes an array.

    Attributes:
        resize: None, the length that the short side gets, or [height, width].
        crop: None, or the side of the square cut from the middle.
        channel_order: ``rgb`` or ``bgr``.
        interpolation: bicubic, bilinear or nearest.
        scale, mean, std: see Normalize.
    """

    resize: int | list[int] | None = None
    crop: int | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    interpolation: Literal["bicubic", "bilinear", "nearest"] = "bicubic"
    scale: float = 1.0
    mean: ChannelValues = 0.0
    std: ChannelValues = 1.0
    _table: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sides = self.resize if isinstance(self.resize, list) else [self.resize] * 2
        if len(sides) != 2 or any(side is not None and side < 1 for side in sides):
            raise ConfigError(f"dataset.preprocess.resize: expected a number or [height, width], got {self.resize}")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"dataset.preprocess.crop: expected 1 or more, got {self.crop}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ConfigError(f"dataset.preprocess.channel_order: expected rgb or bgr, got {self.channel_order}")
        if self.interpolation not in _FILTERS:
            raise ConfigError(
                f"dataset.preprocess.interpolation: expected bicubic, bilinear or nearest, got {self.interpolation}"
            )
        for key in ("mean", "std"):
            values = getattr(self, key)
            if isinstance(values, list) and len(values) != 3:
                raise ConfigError(f"dataset.preprocess.{key}: expected one number or three (RGB), got {len(values)}")
        object.__setattr__(self, "_table", Normalize(self.scale, self.mean, self.std).table(3))

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the resized and cropped bytes, shape (3, height, width), in the configured channel order.

        Raises:
            DatasetError: the image is smaller than the crop.
        """
        image = self._resized(image.convert("RGB"))
        if self.crop is not None:
            width, height = image.size
            if min(width, height) < self.crop:
                raise DatasetError(
                    f"the image has {width}x{height} pixels, less than dataset.preprocess.crop={self.crop}"
                )
            left, top = (width - self.crop) // 2, (height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        array = np.asarray(image, np.uint8).transpose(2, 0, 1)
        return np.ascontiguousarray(array[::-1] if self.channel_order == "bgr" else array)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 of the same shape (3, height, width)."""
        normalized = np.empty(pixels.shape, np.float32)
        for row, plane, out in zip(self._table, pixels, normalized, strict=True):
            row.take(plane, out=out, mode="clip")  # a byte is never out of range, and any other mode copies
        return normalized

    def settings(self) -> list[Any]:
        """Return everything that the result depends on, for a fingerprint."""
        return [*self.pixel_settings(), self.scale, self.mean, self.std]

    def pixel_settings(self) -> list[Any]:
        """Return everything that ``pixels`` depends on."""
        return [self.resize, self.crop, self.channel_order, self.interpolation]

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.resize is None:
            return image
        if isinstance(self.resize, int):
            width, height = image.size
            ratio = self.resize / min(width, height)
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        else:
            size = (self.resize[1], self.resize[0])
        return image.resize(size, _FILTERS[self.interpolation])


@dataclass(frozen=True, slots=True)
class ArrayPreprocess:
    """How a stored array becomes model input.

    Attributes:
        layout: None as stored, or ``nhwc`` where the stored channels are last.
        scale, mean, std: see Normalize.
    """

    layout: Literal["nchw", "nhwc"] | None = None
    scale: float = 1.0
    mean: ChannelValues = 0.0
    std: ChannelValues = 1.0

    def __post_init__(self) -> None:
        if self.layout not in (None, "nchw", "nhwc"):
            raise ConfigError(f"dataset.preprocess.layout: expected nchw or nhwc, got {self.layout}")

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return one item, without batch axis: float32, or in its own type where nothing is scaled.

        The model's input settles the type then, so that class numbers, ids and masks never pass through float32.

        Raises:
            ConfigError: ``mean`` or ``std`` has another number of channels.
        """
        if self.layout == "nhwc" and array.ndim:
            array = np.moveaxis(array, -1, 0)
        normalize = Normalize(self.scale, self.mean, self.std)
        # Not np.ascontiguousarray, which makes a vector of a number.
        return np.asarray(array if normalize.changes_nothing else normalize(array), order="C")

    def settings(self) -> list[Any]:
        """Return everything that the result depends on, for a fingerprint."""
        return [self.layout, self.scale, self.mean, self.std]
