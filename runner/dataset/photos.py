"""Image files as items: decoded once, preprocessed, fitted to the model. What is true of them is a subclass's matter."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from runner.dataset.decoded import Pixels, image_fingerprint
from runner.dataset.fitting import fitted
from runner.dataset.frame import Frame, Size
from runner.dataset.item import ONLY_INPUT, Item, Truth
from runner.dataset.names import is_system_name
from runner.dataset.open_image import SUFFIXES, image_size
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.printable import shown
from runner.session import InputSpec
from runner.store.store import Store


class Photos:
    """Items that are one image file each; a subclass tells their truth.

    Args:
        paths: the files, in the items' order.
        preprocess: from an image to an array.
        key: the option that names the files, for messages.
    """

    def __init__(
        self, paths: Sequence[Path], preprocess: ImagePreprocess | None, *, key: str = "dataset.images"
    ) -> None:
        self.paths = paths
        self._asked = self.preprocess = preprocess or ImagePreprocess()
        self._key = key
        self._pixels = Pixels(self.preprocess)
        self._sizes: dict[int, Size] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def item(self, index: int) -> Item:
        """Return one image as float32 of shape (channels, height, width), or as the layout says, and its truth.

        Raises:
            DatasetError: the image cannot be decoded or is smaller than the crop; names the file.
        """
        path = self.paths[index]
        pixels = self._pixels.get(index, path.read_bytes, self.title(index))
        return Item({ONLY_INPUT: self.preprocess.normalize(pixels)}, self.label(index))

    def label(self, index: int) -> Truth:
        """Return what is true of an item; nothing is known here."""
        return None

    def title(self, index: int) -> str:
        """Return what an image is called in messages: the option and the file."""
        return f"{self._key}: {shown(self.paths[index])}"

    def size(self, index: int) -> Size:
        """Return an image's (height, width), upright where the preprocessing turns it; only its head is read.

        Raises:
            DatasetError: the file cannot be read as an image.
        """
        found = self._sizes.get(index)
        if found is None:
            found = self._sizes[index] = image_size(
                self.paths[index].read_bytes(), self.title(index), upright=self.preprocess.exif == "apply"
            )
        return found

    def frame(self, index: int) -> Frame:
        """Return where an image lies in the model's input."""
        return self.preprocess.frame(self.size(index))

    def fingerprint(self, index: int) -> str:
        """Return a digest of the file's bytes and the preprocessing."""
        return image_fingerprint(self.paths[index].read_bytes(), self.preprocess)

    def fit_to(self, inputs: Sequence[InputSpec]) -> list[str]:
        """Settle channels and layout by the model's only input; return what was chosen."""
        self.preprocess, chosen = fitted(self._asked, inputs if len(inputs) == 1 else ())
        self._pixels = self._pixels.of(self.preprocess)
        return chosen

    def preprocessed(self, preprocess: ImagePreprocess) -> Self:
        """Return the same photos with other preprocessing; what it leaves open is not settled by a model."""
        other = copy.copy(self)
        other._asked = other.preprocess = preprocess
        other._pixels = self._pixels.of(preprocess)
        return other

    def keep_in(self, store: Store) -> None:
        """Keep decoded pixels in a store."""
        self._pixels.store = store


def images_below(folder: Path, *, key: str = "dataset.images") -> list[Path]:
    """Return the images in a folder and the folders in it, by path; what belongs to a system is left out.

    Args:
        folder: an existing folder.
        key: the option that names it, for messages.

    Raises:
        DatasetError: there is none.
    """
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(map(is_system_name, path.relative_to(folder).parts))
    ]
    if not found:
        raise DatasetError(
            f"{key}: {shown(folder)} holds no image; expected files such as .png or .jpg in it or its folders."
        )
    return sorted(found, key=lambda path: path.as_posix())


def folder_title(folder: Path) -> str:
    """Return a folder's name, and its parent's where it is called ``images``."""
    path = folder.absolute()
    return shown(path.parent.name if path.name == "images" and path.parent.name else path.name)
