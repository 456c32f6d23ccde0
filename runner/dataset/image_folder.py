"""Image files in a folder, with a label file beside them; or one image file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.dataset.decoded import SUFFIXES, Pixels
from runner.dataset.fitting import fitted
from runner.dataset.item import ONLY_INPUT, Item, digest
from runner.dataset.label_file import read_labels
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.session import InputSpec
from runner.store.store import Store


class ImageFolder:
    """Images named by a label file, or all images of a folder where there is none.

    Args:
        images: folder, or one image file, which then is the only item.
        labels: file with ``<file> <class>`` a line, or None for unlabelled data (all images, sorted by name).
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder, the label file or a listed image is missing, or there is no image.
    """

    def __init__(self, images: str, labels: str | None = None, preprocess: ImagePreprocess | None = None) -> None:
        self.folder = Path(images)
        self._asked = self.preprocess = preprocess or ImagePreprocess()
        only = self.folder.name if self.folder.is_file() and labels is None else None
        if only is not None:
            self.folder = self.folder.parent
        if not self.folder.is_dir():
            raise DatasetError(
                f"dataset.images: {self.folder} is no folder; expected the folder that holds the images."
            )
        self._name = Path(only).stem if only is not None else self.folder.name
        self._entries: list[tuple[str, int | None]]
        if only is not None:
            self._entries = [(only, None)]
        elif labels is None:
            names = sorted(p.name for p in self.folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
            self._entries = [(name, None) for name in names]
        else:
            self._entries = list(read_labels(Path(labels)))
        if not self._entries:
            raise DatasetError(f"dataset.images: {self.folder} holds no image; expected files such as .png or .jpg.")
        missing = [name for name, _ in self._entries if not (self.folder / name).is_file()]
        if missing:
            listed = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            raise DatasetError(
                f"dataset.images: {len(missing)} of {len(self._entries)} images listed in {labels} do not exist in "
                f"{self.folder}: {listed}."
            )
        self._pixels = Pixels(self.preprocess)

    def __len__(self) -> int:
        return len(self._entries)

    def item(self, index: int) -> Item:
        """Return one image as float32 of shape (channels, height, width), or as the layout says, and its label.

        Raises:
            DatasetError: the image cannot be decoded or is smaller than the crop; names the file.
        """
        path = self.folder / self.name(index)
        pixels = self._pixels.get(index, path.read_bytes, f"dataset.images: {path}")
        return Item({ONLY_INPUT: self.preprocess.normalize(pixels)}, self.label(index))

    def label(self, index: int) -> int | None:
        """Return an image's class."""
        return self._entries[index][1]

    def name(self, index: int) -> str:
        """Return an image's file name."""
        return self._entries[index][0]

    def fingerprint(self, index: int) -> str:
        """Return a digest of the file's bytes and the preprocessing."""
        settings: list[Any] = self.preprocess.settings()
        return digest((self.folder / self.name(index)).read_bytes(), settings)

    def fit_to(self, inputs: Sequence[InputSpec]) -> list[str]:
        """Settle channels and layout by the model's only input; return what was chosen."""
        self.preprocess, chosen = fitted(self._asked, inputs if len(inputs) == 1 else ())
        self._pixels = self._pixels.of(self.preprocess)
        return chosen

    def keep_in(self, store: Store) -> None:
        """Keep decoded pixels in a store."""
        self._pixels.store = store

    def describe(self) -> str:
        """Return the folder's name."""
        return self._name
