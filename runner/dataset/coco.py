"""Photos with the boxes that a file in COCO's format lists for them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from runner.dataset.coco_file import KEY, read_coco
from runner.dataset.names import Files, is_system_name
from runner.dataset.open_image import SUFFIXES
from runner.dataset.photos import Photos
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import Boxes
from runner.errors import DatasetError
from runner.printable import shown

logger = logging.getLogger(__name__)


class CocoDataset(Photos):
    """The images that a file in COCO's format lists, in its order, with their boxes.

    Classes are numbered by rising category id, 0 first: COCO's ids 1..90 with their gaps become 0..79, as its models have them.

    Args:
        images: folder that the listed file names are below.
        annotations: JSON with ``images``, ``annotations`` and ``categories``, as ``instances_val2017.json``.
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder or a listed image is missing, or the file is not as COCO has it, see ``read_coco``.
    """

    def __init__(self, images: str, annotations: str, preprocess: ImagePreprocess | None = None) -> None:
        self.folder, self._file = Path(images), Path(annotations)
        if not os.path.isdir(self.folder):
            raise DatasetError(
                f"dataset.images: {shown(self.folder)} is no folder; expected the folder that holds the photos."
            )
        content = read_coco(self._file)
        self._images = content.images
        self.class_names = content.class_names
        super().__init__(self._paths(), preprocess)

    def label(self, index: int) -> Boxes:
        """Return a photo's boxes.

        Raises:
            DatasetError: the photo is of another size than the file says, or cannot be read.
        """
        image = self._images[index]
        size = self.size(index)
        if image.size is not None and image.size != size:
            turned = " It may be turned by its EXIF orientation: see dataset.preprocess.exif." * (
                image.size == size[::-1]
            )
            raise DatasetError(
                f"{KEY}: {shown(self._file)}: {shown(image.file)} is listed with {image.size[1]}x{image.size[0]} pixels, "
                f"but the file has {size[1]}x{size[0]}, so the boxes are another photo's.{turned}"
            )
        return Boxes(image.corners, image.classes, image.areas, image.crowd, self.frame(index))

    def name(self, index: int) -> str:
        """Return a photo's file name, as the file lists it; see ``shown``."""
        return shown(self._images[index].file)

    def describe(self) -> str:
        """Return the annotation file's name."""
        return shown(self._file.stem)

    def _paths(self) -> list[Path]:
        files = Files(self.folder)
        found = [(image.file, files.find(image.file)) for image in self._images]
        missing = [file for file, path in found if path is None]
        if missing:
            raise DatasetError(
                f"dataset.images: {len(missing)} of {len(found)} images listed in {shown(self._file)} do not exist in "
                f"{shown(self.folder)}: {', '.join(map(shown, missing[:3]))}{' …' if len(missing) > 3 else ''}."
            )
        paths = [path for _, path in found if path is not None]
        if len(set(paths)) < len(paths):
            twice = next(path for number, path in enumerate(paths) if path in paths[:number])
            raise DatasetError(f"{KEY}: {shown(self._file)}: expected each image once, got {shown(twice.name)} again.")
        self._tell_unlisted(set(paths))
        return paths

    def _tell_unlisted(self, paths: set[Path]) -> None:
        unlisted = 0
        for folder in {path.parent for path in paths}:
            there = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            unlisted += sum(path not in paths and not is_system_name(path.name) for path in there)
        if unlisted:
            logger.info("%s: %d photos are not listed in %s", shown(self.folder), unlisted, shown(self._file))
