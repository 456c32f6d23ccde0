"""Photos with a label file each, as YOLO's trainers read them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from runner.dataset.class_names import read_class_names
from runner.dataset.photos import Photos, folder_title, images_below
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import Boxes
from runner.dataset.yolo_labels import KEY, read_yolo_labels
from runner.errors import DatasetError
from runner.printable import shown

logger = logging.getLogger(__name__)


class YoloDataset(Photos):
    """All images of a folder and the folders in it, by path; the boxes of ``NAME.jpg`` are the lines of ``NAME.txt``.

    A photo without a label file has no boxes; the log tells how many there are.

    Args:
        images: folder of the photos.
        labels: folder of the label files, with the same folders in it; None for ultralytics' rule: the last ``images`` of the
            folder's path becomes ``labels``.
        names: the classes' names, class 0 first: a list, a text file with one a line, or ultralytics' data.yaml; None where
            they are not known.
        preprocess: from an image to an array.

    Raises:
        DatasetError: a folder is missing, there is no photo or no label file of any of them, a line is malformed or of a class
            beyond the names, or the names cannot be read.
    """

    def __init__(
        self,
        images: str,
        labels: str | None = None,
        names: str | list[str] | None = None,
        preprocess: ImagePreprocess | None = None,
    ) -> None:
        self.folder = Path(images)
        if not os.path.isdir(self.folder):
            raise DatasetError(
                f"dataset.images: {shown(self.folder)} is no folder; expected the folder that holds the photos."
            )
        self.class_names = read_class_names(names)
        paths = images_below(self.folder)
        self._read(paths, _label_folder(self.folder, labels))
        super().__init__(paths, preprocess)

    def label(self, index: int) -> Boxes:
        """Return a photo's boxes; the area of one is its width times its height."""
        shares = self._shares[index]
        height, width = self.size(index)
        corners = shares[:, 1:] * np.array([width, height] * 2, np.float64)
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        return Boxes(corners, shares[:, 0].astype(np.int64), areas, np.zeros(len(corners), np.bool_), self.frame(index))

    def name(self, index: int) -> str:
        """Return a photo's path below the folder; see ``shown``."""
        return shown(self.paths[index].relative_to(self.folder).as_posix())

    def describe(self) -> str:
        """Return the folder's name, and its parent's where the folder is called ``images``."""
        return folder_title(self.folder)

    def _read(self, paths: list[Path], folder: Path) -> None:
        """Read the label files of photos."""
        files = [folder / path.relative_to(self.folder).with_suffix(".txt") for path in paths]
        there = [os.path.isfile(file) for file in files]
        if not any(there):
            raise DatasetError(
                f"{KEY}: none of the {len(paths)} photos in {shown(self.folder)} has a label file in {shown(folder)}; "
                f"expected {shown(files[0].name)} beside others. Name the folder with dataset.labels=DIR."
            )
        classes = len(self.class_names) or None
        empty = np.empty((0, 5), np.float64)
        self._shares = [
            read_yolo_labels(file, classes) if known else empty for file, known in zip(files, there, strict=True)
        ]
        without = len(there) - sum(there)
        if without:
            logger.info(
                "%s: %d of %d photos have no label file in %s: nothing is to be found in them",
                shown(self.folder),
                without,
                len(paths),
                shown(folder),
            )


def _label_folder(images: Path, labels: str | None) -> Path:
    if labels is None:
        parts = images.absolute().parts
        if "images" not in parts:
            raise DatasetError(
                f"{KEY}: expected the folder of the label files, as {shown(images)} has no part 'images' that 'labels' could "
                "stand for. Name it with dataset.labels=DIR."
            )
        last = len(parts) - 1 - parts[::-1].index("images")
        return Path(*parts[:last], "labels", *parts[last + 1 :])
    if not os.path.isdir(labels):
        raise DatasetError(f"{KEY}: {shown(labels)} is no folder; expected the folder that holds the label files.")
    return Path(labels)
