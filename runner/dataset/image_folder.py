"""Image files in a folder, with a label file beside them; or one image file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from runner.dataset.label_file import read_labels
from runner.dataset.names import Files, is_system_name, listed
from runner.dataset.open_image import SUFFIXES
from runner.dataset.photos import Photos
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.printable import shown

logger = logging.getLogger(__name__)


class ImageFolder(Photos):
    """Images named by a label file, or all images of a folder where there is none.

    A listed name is found on the disk in another spelling too: composed or decomposed accents, or the bytes of GBK. Without a
    label file, hidden files and those of a system (``._*``) are no images; the log names them.

    Args:
        images: folder, or one image file, which then is the only item.
        labels: file with ``<file> <class>`` a line, or None for unlabelled data (all images, sorted by name).
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder, the label file or a listed image is missing, or there is no image.
    """

    def __init__(self, images: str, labels: str | None = None, preprocess: ImagePreprocess | None = None) -> None:
        self.folder = Path(images)
        only = self.folder.name if os.path.isfile(self.folder) and labels is None else None
        if only is not None:
            self.folder = self.folder.parent
        if not os.path.isdir(self.folder):
            raise DatasetError(
                f"dataset.images: {shown(self.folder)} is no folder; expected the folder that holds the images."
            )
        self._name = shown(Path(only).stem if only is not None else self.folder.name)
        self._entries: list[tuple[Path, str, int | None]]
        if only is not None:
            self._entries = [(self.folder / only, only, None)]
        elif labels is None:
            self._entries = [(path, path.name, None) for path in self._images()]
        else:
            self._entries = self._labelled(Path(labels))
        if not self._entries:
            tree = any(path.is_dir() for path in self.folder.iterdir())
            hint = " Where its folders hold images, one a class: dataset=class_tree." if tree else ""
            raise DatasetError(
                f"dataset.images: {shown(self.folder)} holds no image; expected files such as .png or .jpg. "
                f"Set dataset.images to the folder that holds them.{hint}"
            )
        super().__init__([path for path, _, _ in self._entries], preprocess)

    def label(self, index: int) -> int | None:
        """Return an image's class."""
        return self._entries[index][2]

    def name(self, index: int) -> str:
        """Return an image's file name, as the label file has it; see ``shown``."""
        return shown(self._entries[index][1])

    def describe(self) -> str:
        """Return the folder's name."""
        return self._name

    def _images(self) -> list[Path]:
        found = [p for p in listed(self.folder, "dataset.images") if p.suffix.lower() in SUFFIXES and p.is_file()]
        skipped = [path.name for path in found if is_system_name(path.name)]
        if skipped:
            logger.info(
                "%s: %d hidden files or files of a system are no images: %s",
                shown(self.folder),
                len(skipped),
                ", ".join(map(shown, skipped)),
            )
        return [path for path in found if not is_system_name(path.name)]

    def _labelled(self, labels: Path) -> list[tuple[Path, str, int | None]]:
        files = Files(self.folder)
        entries = [(files.find(name), name, label) for name, label in read_labels(labels)]
        missing = [name for path, name, _ in entries if path is None]
        if missing:
            raise DatasetError(
                f"dataset.images: {len(missing)} of {len(entries)} images listed in {shown(labels)} do not exist in "
                f"{shown(self.folder)}: {', '.join(map(shown, missing[:3]))}{' …' if len(missing) > 3 else ''}. Set "
                "dataset.images to the folder that the listed names are below."
            )
        return [(path, name, label) for path, name, label in entries if path is not None]
