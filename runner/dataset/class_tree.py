"""A folder per class, with the images of the class in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.dataset.decoded import SUFFIXES, Pixels
from runner.dataset.fitting import fitted
from runner.dataset.item import ONLY_INPUT, Item, digest
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.session import InputSpec
from runner.store.store import Store


class ClassTree:
    """Images of a tree ``images/<class>/…``, by class and then by path.

    Args:
        images: folder that holds a folder per class; names that begin with a dot are skipped.
        classes: text file with one folder's name a line, class 0 first; None to number the folders as sorted by name.
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder or the file is missing, there is no class folder or no image, or a folder is not listed.
    """

    def __init__(self, images: str, classes: str | None = None, preprocess: ImagePreprocess | None = None) -> None:
        self.folder = Path(images)
        self._asked = self.preprocess = preprocess or ImagePreprocess()
        if not self.folder.is_dir():
            raise DatasetError(
                f"dataset.images: {self.folder} is no folder; expected one that holds a folder per class."
            )
        folders = sorted(p.name for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not folders:
            raise DatasetError(
                f"dataset.images: {self.folder} holds no folder; expected one per class, with its images."
            )
        names = folders if classes is None else read_classes(Path(classes))
        unlisted = [name for name in folders if name not in names]
        if unlisted:
            raise DatasetError(
                f"dataset.classes: {classes} does not list {len(unlisted)} of the {len(folders)} folders in {self.folder}: "
                f"{', '.join(unlisted[:3])}{' …' if len(unlisted) > 3 else ''}."
            )
        self._entries = [(path, number) for number, name in enumerate(names) for path in _images(self.folder / name)]
        if not self._entries:
            raise DatasetError(
                f"dataset.images: the {len(folders)} folders in {self.folder} hold no image; expected files such as "
                ".png or .jpg."
            )
        self._pixels = Pixels(self.preprocess)

    def __len__(self) -> int:
        return len(self._entries)

    def item(self, index: int) -> Item:
        """Return one image as float32 of shape (channels, height, width), or as the layout says, and its class.

        Raises:
            DatasetError: the image cannot be decoded or is smaller than the crop; names the file.
        """
        path, label = self._entries[index]
        pixels = self._pixels.get(index, path.read_bytes, f"dataset.images: {path}")
        return Item({ONLY_INPUT: self.preprocess.normalize(pixels)}, label)

    def label(self, index: int) -> int:
        """Return the number of an image's folder."""
        return self._entries[index][1]

    def name(self, index: int) -> str:
        """Return an image's path below the folder."""
        return self._entries[index][0].relative_to(self.folder).as_posix()

    def fingerprint(self, index: int) -> str:
        """Return a digest of the file's bytes and the preprocessing."""
        settings: list[Any] = self.preprocess.settings()
        return digest(self._entries[index][0].read_bytes(), settings)

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
        return self.folder.name


def read_classes(path: Path) -> list[str]:
    """Return the names of a class file, class 0 first; blank lines at its end do not count.

    Raises:
        DatasetError: it is missing, empty, no UTF-8 text, or a line is blank or repeated.
    """
    if not path.is_file():
        raise DatasetError(f"dataset.classes: {path} does not exist; expected a text file with a folder's name a line.")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"dataset.classes: {path} is no UTF-8 text: {error.reason} at byte {error.start}."
        ) from error
    if not lines:
        raise DatasetError(f"dataset.classes: {path} is empty; expected a folder's name a line.")
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            raise DatasetError(f"dataset.classes: {path}:{number}: expected a folder's name, got a blank line.")
        if line in seen:
            raise DatasetError(
                f"dataset.classes: {path}:{number}: '{line}' is listed again; it stands in line {seen[line]}."
            )
        seen[line] = number
    return lines


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(
        (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)),
        key=lambda path: path.as_posix(),
    )
