"""Image bytes to arrays, each image once: decoded pixels are kept, in a store that jobs share or else in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import PIL
from numpy.typing import NDArray

from runner.dataset.item import digest
from runner.dataset.open_image import open_image
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.store.key import stage_key
from runner.store.store import Store

# The version of this stage's meaning: raise it when the same bytes would give other pixels.
VERSION = 2

_KEPT_BYTES = 1 << 30
# Smaller images are decoded about as fast as a file is opened.
_WORTH_A_FILE = 1 << 14


@runtime_checkable
class KeepsPixels(Protocol):
    """A dataset that decodes images and can be told where to keep their pixels."""

    def keep_in(self, store: Store) -> None:
        """Keep decoded pixels in a store."""
        ...


def decode(source: bytes, preprocess: ImagePreprocess, title: str) -> NDArray[np.uint8]:
    """Return an image's resized and cropped pixels, shape (3, height, width).

    Args:
        source: the bytes of its file.
        preprocess: how it is resized and cropped.
        title: what the image is called in messages: the option and the file.

    Raises:
        DatasetError: it cannot be decoded or resized, or is smaller than the crop.
    """
    image = open_image(source, title, upright=preprocess.exif == "apply")
    try:
        return preprocess.pixels(image)
    except DatasetError as error:
        raise DatasetError(f"{title}: {error}.") from error
    except (OSError, ValueError, MemoryError) as error:
        width, height = image.size
        raise DatasetError(
            f"{title} has {width}x{height} pixels and cannot be resized: {error or 'not enough memory'}. Set "
            "dataset.preprocess.resize to fit."
        ) from error


def image_fingerprint(source: bytes, preprocess: ImagePreprocess) -> str:
    """Return a digest of all that an image's array depends on.

    Args:
        source: the bytes of its file.
        preprocess: from the image to the array.
    """
    settings: list[Any] = [VERSION, *preprocess.settings()]
    return digest(source, settings)


class Pixels:
    """Decoded images of one dataset; may be used from several threads.

    With a store they are files of it, named by the image's bytes and the preprocessing: written by whichever caller decodes an
    image first, used by later evaluations, later jobs and jobs beside this one. What the store does not take is kept in memory,
    up to a number of bytes.
    """

    def __init__(self, preprocess: ImagePreprocess, most_bytes: int = _KEPT_BYTES) -> None:
        self.store: Store | None = None
        self._preprocess = preprocess
        self._most_bytes = most_bytes
        self._bytes = 0
        self._memory: dict[object, NDArray[np.uint8]] = {}
        self._keys: dict[object, str] = {}
        self._lock = threading.Lock()

    def of(self, preprocess: ImagePreprocess) -> Pixels:
        """Return the same for other preprocessing, with nothing decoded yet."""
        if preprocess.pixel_settings() == self._preprocess.pixel_settings():
            return self
        made = Pixels(preprocess, self._most_bytes)
        made.store = self.store
        return made

    def get(self, item: object, read: Callable[[], bytes], title: str) -> NDArray[np.uint8]:
        """Return an image's pixels.

        Args:
            item: which of the dataset's images; its bytes do not change while a job runs.
            read: gives the bytes of its file.
            title: what the image is called in messages.

        Raises:
            DatasetError: see ``decode``.
        """
        pixels = self._memory.get(item)
        if pixels is None and item in self._keys:
            pixels = self._stored(self._keys[item])
        return self._made(item, _read(read, title), title) if pixels is None else pixels

    def _made(self, item: object, source: bytes, title: str) -> NDArray[np.uint8]:
        if self.store is None:
            return self._remembered(item, decode(source, self._preprocess, title))
        key = _key(source, self._preprocess)
        self._keys[item] = key
        pixels = self._stored(key)
        if pixels is not None:
            return pixels
        pixels = decode(source, self._preprocess, title)
        if pixels.nbytes < _WORTH_A_FILE:
            return self._remembered(item, pixels)
        self.store.put_array(key, pixels)
        return pixels

    def _stored(self, key: str) -> NDArray[np.uint8] | None:
        return None if self.store is None else self.store.array(key)

    def _remembered(self, item: object, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with self._lock:
            if self._bytes + pixels.nbytes <= self._most_bytes and item not in self._memory:
                self._memory[item] = pixels
                self._bytes += pixels.nbytes
        return pixels


def _read(read: Callable[[], bytes], title: str) -> bytes:
    try:
        return read()
    except OSError as error:
        raise DatasetError(f"{title} cannot be read as an image: {error.strerror or error}.") from error


def _key(source: bytes, preprocess: ImagePreprocess) -> str:
    content = hashlib.sha256(source).hexdigest()
    key = stage_key("pixels", [VERSION], PIL.__version__, content, preprocess.pixel_settings())
    assert key is not None  # plain values only
    return key
