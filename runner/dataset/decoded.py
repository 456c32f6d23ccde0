"""Image bytes to arrays; decoded pixels are kept, so that a second evaluation does not decode again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm"})
_KEPT_BYTES = 1 << 30


def decode(source: Path | BinaryIO, preprocess: ImagePreprocess, title: str) -> NDArray[np.uint8]:
    """Return an image's resized and cropped pixels, shape (3, height, width).

    Args:
        source: a file or a stream of its bytes.
        preprocess: how it is resized and cropped.
        title: what the image is called in messages: the option and the file.

    Raises:
        DatasetError: it cannot be decoded, or is smaller than the crop.
    """
    try:
        with Image.open(source) as image:
            return preprocess.pixels(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{title} cannot be read as an image: {error}.") from error
    except DatasetError as error:
        raise DatasetError(f"{title}: {error}.") from error


class KeptPixels:
    """Pixels by a key, up to a number of bytes; may be used from several threads."""

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._pixels: dict[object, NDArray[np.uint8]] = {}
        self._bytes = 0
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def get(self, key: object) -> NDArray[np.uint8] | None:
        """Return what was kept under a key."""
        return self._pixels.get(key)

    def keep(self, key: object, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Keep pixels where there is room, and return them."""
        with self._lock:
            if self._bytes + pixels.nbytes <= self._most_bytes and key not in self._pixels:
                self._pixels[key] = pixels
                self._bytes += pixels.nbytes
        return pixels
