"""From pixels or raw arrays to model input: ``y = (x * scale - mean) / std`` in float32, channels first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runner.dataset.frame import Frame, Size
from runner.dataset.geometry import Letterbox, middle, opencv_bilinear, short_side
from runner.errors import ConfigError, DatasetError
from runner.session import InputSpec

_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
ChannelValues = float | list[float]
Channels = Literal["rgb", "bgr", "gray"]
Layout = Literal["nchw", "nhwc"]
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "channel_order": (None, "rgb", "bgr"),
    "channels": (None, "rgb", "bgr", "gray"),
    "layout": (None, "nchw", "nhwc"),
    "interpolation": (*_FILTERS, "opencv"),
    "rounding": ("nearest", "torchvision"),
}


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
        channel_order: ``rgb`` or ``bgr``, an older name of ``channels``.
        interpolation: bicubic, bilinear or nearest as Pillow has them, or opencv: bilinear as OpenCV's resize has it.
        exif: ``apply`` turns a photo as its EXIF orientation says, before all else; ``ignore`` takes the pixels as stored.
        scale, mean, std: see Normalize.
        channels: ``rgb``, ``bgr`` or ``gray``; None for what the model takes, see ``fitted``, and rgb where that does not tell.
        layout: where the model has its channels, ``nchw`` or ``nhwc``; None likewise, and nchw where that does not tell.
        letterbox: in place of resize and crop.
        rounding: of the long side and of the place of the crop: ``nearest`` pixel and down, or as ``torchvision`` does it.
    """

    resize: int | list[int] | None = None
    crop: int | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    interpolation: Literal["bicubic", "bilinear", "nearest", "opencv"] = "bicubic"
    scale: float = 1.0
    mean: ChannelValues = 0.0
    std: ChannelValues = 1.0
    exif: Literal["ignore", "apply"] = "ignore"
    channels: Channels | None = None
    layout: Layout | None = None
    letterbox: Letterbox | None = None
    rounding: Literal["nearest", "torchvision"] = "nearest"
    _table: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sides = self.resize if isinstance(self.resize, list) else [self.resize] * 2
        if len(sides) != 2 or any(side is not None and side < 1 for side in sides):
            raise ConfigError(f"dataset.preprocess.resize: expected a number or [height, width], got {self.resize}")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"dataset.preprocess.crop: expected 1 or more, got {self.crop}")
        for key, expected in _CHOICES.items():
            if getattr(self, key) not in expected:
                listed = " or ".join([*", ".join(str(e) for e in expected if e is not None).rsplit(", ", 1)])
                raise ConfigError(f"dataset.preprocess.{key}: expected {listed}, got {getattr(self, key)}")
        if self.channels is not None and self.channel_order not in (None, self.channels):
            raise ConfigError(
                f"dataset.preprocess.channels: expected one of channels={self.channels} and "
                f"channel_order={self.channel_order}, an older name of it; got both"
            )
        if self.letterbox is not None and (self.resize is not None or self.crop is not None):
            raise ConfigError(
                "dataset.preprocess.letterbox: expected no resize and no crop beside it; it sizes the image itself"
            )
        if self.exif not in ("ignore", "apply"):
            raise ConfigError(f"dataset.preprocess.exif: expected ignore or apply, got {self.exif}")
        for key in ("mean", "std"):
            values = getattr(self, key)
            if isinstance(values, list) and len(values) != self.count:
                wanted = "one number (gray)" if self.order == "gray" else "one number or three (RGB)"
                raise ConfigError(f"dataset.preprocess.{key}: expected {wanted}, got {len(values)}")
        object.__setattr__(self, "_table", Normalize(self.scale, self.mean, self.std).table(self.count))

    @property
    def order(self) -> Channels:
        """Return which channels there are; a mean or std of one channel says gray."""
        if self.channels is not None or self.channel_order is not None:
            return self.channels or self.channel_order or "rgb"
        return "gray" if self._lengths == {1} else "rgb"

    @property
    def count(self) -> int:
        """Return how many channels there are."""
        return 1 if self.order == "gray" else 3

    @property
    def _lengths(self) -> set[int]:
        return {len(values) for values in (self.mean, self.std) if isinstance(values, list)}

    def fitted(self, spec: InputSpec) -> tuple[ImagePreprocess, list[str]]:
        """Return it with what was left open settled by a model's input, and a sentence for each choice that is not usual.

        Gray where the input takes one channel, ``nhwc`` where only its last axis can be the channels.

        Raises:
            ConfigError: the input takes other channels, or has them elsewhere, than is said.
        """
        if len(spec.shape) != 4:
            return self, []
        said = self.channels is not None or self.channel_order is not None or bool(self._lengths)
        counts = (self.count,) if said else (3, 1)
        first, last = spec.shape[1], spec.shape[3]
        layout = self.layout or ("nhwc" if last in counts and first not in counts else "nchw")
        taken = first if layout == "nchw" else last
        shown = "x".join("?" if side is None else str(side) for side in spec.shape[1:])
        if taken not in (None, *counts):
            raise ConfigError(self._other_channels(spec, layout, counts, shown))
        channels: Channels = "gray" if not said and taken == 1 else self.order
        chosen = []
        if channels != self.order:
            chosen.append(f"dataset.preprocess.channels={channels}, as the model input '{spec.name}' takes {shown}")
        if self.layout is None and layout == "nhwc":
            chosen.append(f"dataset.preprocess.layout=nhwc, as the model input '{spec.name}' takes {shown}")
        letterbox = self.letterbox
        sides = [side for side in (spec.shape[2:] if layout == "nchw" else spec.shape[1:3]) if side is not None]
        if letterbox is not None and letterbox.size is None and len(sides) == 2:
            letterbox = replace(letterbox, size=sides)
            if letterbox.sides != Letterbox().sides:
                size = ",".join(map(str, sides))
                chosen.append(
                    f"dataset.preprocess.letterbox.size=[{size}], as the model input '{spec.name}' takes {shown}"
                )
        return replace(self, channels=channels, channel_order=None, layout=layout, letterbox=letterbox), chosen

    def _other_channels(self, spec: InputSpec, layout: Layout, counts: tuple[int, ...], shown: str) -> str:
        """Return the message for an input whose channels are not those of the images, with the option that mends it."""
        first, last = spec.shape[1], spec.shape[3]
        given = " or ".join(map(str, counts))
        text = f"dataset.preprocess: images have {given} channels, {'last' if layout == 'nhwc' else 'first'}, "
        text += f"but the model input '{spec.name}' takes {shown}"
        other = first if layout == "nhwc" else last
        if other in counts:
            return f"{text}. Set dataset.preprocess.layout={'nchw' if layout == 'nhwc' else 'nhwc'}."
        if 1 in (first, last) and counts == (3,):
            return f"{text}. Set dataset.preprocess.channels=gray, with one number as mean and std."
        if 3 in (first, last) and counts == (1,):
            return f"{text}. Set dataset.preprocess.channels=rgb (or bgr)."
        return f"{text}, which is no image of 1 or 3 channels. Give arrays instead: dataset=npz or dataset=npy."

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the resized and cropped bytes, shape (channels, height, width), in the configured channel order.

        Raises:
            DatasetError: the image is smaller than the crop.
        """
        image = self._resized(image.convert("L" if self.order == "gray" else "RGB"))
        if self.crop is not None:
            width, height = image.size
            if min(width, height) < self.crop:
                raise DatasetError(
                    f"the image has {width}x{height} pixels, less than dataset.preprocess.crop={self.crop}"
                )
            top, left = middle((height, width), self.crop, torchvision=self.rounding == "torchvision")
            image = image.crop((left, top, left + self.crop, top + self.crop))
        array = _array(image)
        if self.letterbox is not None:
            array = self.letterbox.framed(array)
        array = array.transpose(2, 0, 1)
        return np.ascontiguousarray(array[::-1] if self.order == "bgr" else array)

    def frame(self, photo: Size) -> Frame:
        """Return where a photo of a size, upright where ``exif`` is applied, lies in the array."""
        if self.letterbox is not None:
            return self.letterbox.frame(photo)
        taken = size = self._size(photo)
        top = left = 0
        if self.crop is not None:
            top, left = (-place for place in middle(size, self.crop, torchvision=self.rounding == "torchvision"))
            taken = (self.crop, self.crop)
        return Frame(photo, taken, (size[0] / photo[0], size[1] / photo[1]), (float(top), float(left)))

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 of the same shape (channels, height, width); with layout nhwc (height, width, channels)."""
        normalized = np.empty(pixels.shape, np.float32)
        for row, plane, out in zip(self._table, pixels, normalized, strict=True):
            row.take(plane, out=out, mode="clip")  # a byte is never out of range, and any other mode copies
        return np.ascontiguousarray(normalized.transpose(1, 2, 0)) if self.layout == "nhwc" else normalized

    def settings(self) -> list[Any]:
        """Return everything that the result depends on, for a fingerprint."""
        settings = [*self.pixel_settings(), self.scale, self.mean, self.std]
        return [*settings, "nhwc"] if self.layout == "nhwc" else settings

    def pixel_settings(self) -> list[Any]:
        """Return everything that an image's pixels depend on."""
        # What is not used is left out: pixels that are kept already serve on.
        more: list[Any] = [] if self.letterbox is None else [self.letterbox.settings()]
        more += ["torchvision"] if self.rounding == "torchvision" else []
        more += ["exif"] if self.exif == "apply" else []
        return [self.resize, self.crop, self.order, self.interpolation, *more]

    def _size(self, photo: Size) -> Size:
        """Return the size that a photo is resized to."""
        if self.letterbox is not None:
            return self.letterbox.fitted(photo)
        if self.resize is None:
            return photo
        if isinstance(self.resize, int):
            return short_side(photo, self.resize, torchvision=self.rounding == "torchvision")
        return self.resize[0], self.resize[1]

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.letterbox is None and self.resize is None:
            return image
        size = self._size((image.height, image.width))
        if self.interpolation == "opencv":
            return Image.fromarray(np.squeeze(opencv_bilinear(_array(image), size), axis=_gray_axis(image)))
        return image.resize((size[1], size[0]), _FILTERS[self.interpolation])


def _array(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image's bytes as [height, width, channels]."""
    array = np.asarray(image, np.uint8)
    return array[:, :, np.newaxis] if array.ndim == 2 else array


def _gray_axis(image: Image.Image) -> tuple[int, ...]:
    return (2,) if image.mode == "L" else ()


@dataclass(frozen=True, slots=True)
class ArrayPreprocess:
    """How a stored array becomes model input.

    Attributes:
        layout: None as stored, or ``nhwc`` where the stored channels are last.
        scale, mean, std: see Normalize.
    """

    layout: Layout | None = None
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
