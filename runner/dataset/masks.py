"""Photos with a mask each: an image whose pixels are numbers of classes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from runner.dataset.class_names import read_class_names
from runner.dataset.frame import Frame, Size
from runner.dataset.names import by_spelling, spelling
from runner.dataset.open_image import open_indices
from runner.dataset.photos import Photos, folder_title, images_below
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.truth import ClassMap
from runner.errors import DatasetError
from runner.printable import shown

logger = logging.getLogger(__name__)
KEY = "dataset.masks"


class MasksDataset(Photos):
    """An item is a mask, by path, with the image of the same path but for the suffix; the log counts images without a mask.

    A mask is gray of 8 or 16 bits, or has a palette, whose indices are the classes. It may be of another size than its image,
    whose whole it covers. Nothing of it is kept: it is decoded each time its truth is asked for.

    Args:
        images: folder of the photos, with folders in it or not.
        masks: folder of the masks, with the same folders in it.
        ignore: the class of pixels that do not count; None where all do.
        classes: the classes' names, class 0 first: a list, or a text file with one a line; None where they are not known.
        preprocess: from an image to an array.

    Raises:
        DatasetError: a folder is missing or empty, a mask has no image or two, or the names cannot be read.
    """

    def __init__(
        self,
        images: str,
        masks: str,
        ignore: int | None = 255,
        classes: str | list[str] | None = None,
        preprocess: ImagePreprocess | None = None,
    ) -> None:
        self.folder, self.ignore, self._mask_folder = Path(images), ignore, Path(masks)
        for key, folder in (("dataset.images", self.folder), (KEY, self._mask_folder)):
            if not os.path.isdir(folder):
                raise DatasetError(
                    f"{key}: {shown(folder)} is no folder; expected the folder that holds the {key[8:]}."
                )
        if os.path.samefile(self.folder, self._mask_folder):
            raise DatasetError(f"{KEY}: {shown(self._mask_folder)} holds the photos too; expected a folder of its own.")
        self.class_names = read_class_names(classes, key="dataset.classes")
        self._masks = images_below(self._mask_folder, key=KEY)
        super().__init__(self._paths(), preprocess)

    def label(self, index: int) -> ClassMap:
        """Return a photo's class map, in the mask's own resolution.

        Raises:
            DatasetError: the mask cannot be read, holds a class without a name, or lies on its side beside its photo.
        """
        path = self._masks[index]
        title = f"{KEY}: {shown(path)}"
        classes = open_indices(_read(path, title), title)
        if self.class_names:
            counted = classes if self.ignore is None else classes[classes != self.ignore]
            if (most := int(counted.max(initial=0))) >= len(self.class_names):
                raise DatasetError(
                    f"{title} holds class {most}; expected 0 to {len(self.class_names) - 1}, as dataset.classes has so many "
                    f"names{'' if self.ignore is None else f', or {self.ignore}, dataset.ignore'}."
                )
        height, width = classes.shape
        return ClassMap(classes, self.ignore, self._mask_frame(index, (height, width)))

    def name(self, index: int) -> str:
        """Return a photo's path below the folder; see ``shown``."""
        return shown(self.paths[index].relative_to(self.folder).as_posix())

    def describe(self) -> str:
        """Return the folder's name, and its parent's where the folder is called ``images``."""
        return folder_title(self.folder)

    def _mask_frame(self, index: int, mask: Size) -> Frame:
        """Return where a mask of a size lies in the model's input."""
        frame = self.frame(index)
        height, width = frame.photo
        if mask == (width, height) != (height, width):
            raise DatasetError(
                f"{KEY}: {shown(self._masks[index])} has {mask[1]}x{mask[0]} pixels, its photo {width}x{height}, so one "
                "of them lies on its side. It may be turned by its EXIF orientation: see dataset.preprocess.exif."
            )
        scale = (frame.scale[0] * height / mask[0], frame.scale[1] * width / mask[1])
        return Frame(mask, frame.taken, scale, frame.offset)

    def _paths(self) -> list[Path]:
        """Return the image of each mask."""
        images = images_below(self.folder)
        named = by_spelling(_stem(path, self.folder) for path in images)
        of = {_stem(path, self.folder): path for path in images}
        found: list[Path] = []
        missing: list[str] = []
        for mask in self._masks:
            stem = _stem(mask, self._mask_folder)
            alike = named.get(spelling(stem), [])
            if len(alike) > 1:
                raise DatasetError(
                    f"dataset.images: {shown(self.folder)} holds {len(alike)} images called {shown(stem)} for the mask "
                    f"{shown(mask.name)}; expected one."
                )
            if alike:
                found.append(of[alike[0]])
            else:
                missing.append(mask.relative_to(self._mask_folder).as_posix())
        self._tell(images, missing, len(set(found)))
        return found

    def _tell(self, images: list[Path], missing: list[str], used: int) -> None:
        if missing:
            raise DatasetError(
                f"{KEY}: {len(missing)} of {len(self._masks)} masks have no image of the same name in {shown(self.folder)}: "
                f"{', '.join(map(shown, missing[:3]))}{' …' if len(missing) > 3 else ''}. Remove them, or name the folder "
                "that holds their images with dataset.images=DIR."
            )
        if used < len(self._masks):
            raise DatasetError(
                f"{KEY}: {shown(self._mask_folder)} holds several masks of one image, which differ in their suffixes alone; "
                "expected one."
            )
        if used < len(images):
            logger.info("%s: %d of %d images have no mask", shown(self.folder), len(images) - used, len(images))


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _read(path: Path, title: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{title} cannot be read as an image: {error.strerror or error}.") from error
