"""A folder per class, with the images of the class in it."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from runner.dataset.names import by_spelling, is_system_name, listed, spelling
from runner.dataset.open_image import SUFFIXES
from runner.dataset.photos import Photos
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from runner.printable import no_file, shown

logger = logging.getLogger(__name__)
_KEY = "dataset.images"


class ClassTree(Photos):
    """Images of a tree ``images/<class>/…``, by class and then by path.

    Folders that are hidden or a system's (``__MACOSX``) are no classes, unless they are listed; the log names them. A folder
    without an image is refused unless the classes are listed: it could be a class or none, and every number after it depends
    on that.

    Args:
        images: folder that holds a folder per class.
        classes: the folders' names, class 0 first: a list, or a text file with one a line; None to number the folders as
            sorted by name. A listed class may have no image, and no folder.
        preprocess: from an image to an array.

    Raises:
        DatasetError: the folder or the file is missing, there is no class folder or no image, a folder is not listed, or
            one is empty.
    """

    def __init__(
        self, images: str, classes: str | list[str] | None = None, preprocess: ImagePreprocess | None = None
    ) -> None:
        self.folder = Path(images)
        if not os.path.isdir(self.folder):
            raise DatasetError(
                f"{_KEY}: {shown(self.folder)} is no folder; expected one that holds a folder per class."
            )
        names = None if classes is None else _listed_names(classes)
        folders = _class_folders(self.folder, () if names is None else names)
        if names is None:
            names = list(folders)
        else:
            _refuse_unlisted(self.folder, folders, names, classes)
        found = {name: _images(self.folder / folders[name]) if name in folders else [] for name in names}
        if not any(found.values()):
            raise DatasetError(
                f"{_KEY}: the {len(folders)} folders in {shown(self.folder)} hold no image; expected files such as "
                ".png or .jpg."
            )
        if classes is None:
            _refuse_empty(self.folder, [name for name, paths in found.items() if not paths], len(folders))
        self._entries = [(path, number) for number, paths in enumerate(found.values()) for path in paths]
        super().__init__([path for path, _ in self._entries], preprocess)

    def label(self, index: int) -> int:
        """Return the number of an image's folder."""
        return self._entries[index][1]

    def name(self, index: int) -> str:
        """Return an image's path below the folder; see ``shown``."""
        return shown(self._entries[index][0].relative_to(self.folder).as_posix())

    def describe(self) -> str:
        """Return the folder's name."""
        return shown(self.folder.name)


def read_classes(path: Path) -> list[str]:
    """Return the names of a class file, class 0 first; blank lines at its end do not count.

    Raises:
        DatasetError: it is missing, empty, no UTF-8 text, or a line is blank or repeated.
    """
    if not path.is_file():
        raise DatasetError(f"dataset.classes: {no_file(path)}; expected a text file with a folder's name a line.")
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


def _listed_names(classes: str | list[str]) -> list[str]:
    """Return the listed classes as ``spelling`` has them."""
    names = [spelling(name) for name in (read_classes(Path(classes)) if isinstance(classes, str) else classes)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or not all(names) or twice:
        got = f"'{twice[0]}' more than once" if twice else "an empty name" if names else "an empty list"
        raise DatasetError(f"dataset.classes: expected the folders' names, each once, got {got}.")
    return names


def _class_folders(folder: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Return name as ``spelling`` has it -> the folder's own name, sorted by the latter."""
    names = [path.name for path in listed(folder, _KEY) if os.path.isdir(path)]
    skipped = [name for name in names if is_system_name(name) and spelling(name) not in wanted]
    if skipped:
        logger.info(
            "%s: %d folders of a system are no classes: %s", shown(folder), len(skipped), ", ".join(map(shown, skipped))
        )
    names = [name for name in names if name not in skipped]
    if not names:
        raise DatasetError(f"{_KEY}: {shown(folder)} holds no folder; expected one per class, with its images.")
    spelled = by_spelling(names)
    alike = next((found for found in spelled.values() if len(found) > 1), None)
    if alike is not None:
        raise DatasetError(
            f"{_KEY}: {len(alike)} folders in {shown(folder)} read the same, {shown(alike[0])}, but store their accents "
            "differently; expected one folder per class. Merge them."
        )
    return {name: found[0] for name, found in spelled.items()}


def _refuse_unlisted(folder: Path, folders: dict[str, str], names: list[str], classes: object) -> None:
    unlisted = [shown(own) for name, own in folders.items() if name not in names]
    if unlisted:
        where = shown(classes) if isinstance(classes, str) else "the list"
        raise DatasetError(
            f"dataset.classes: {where} does not list {len(unlisted)} of the {len(folders)} folders in {shown(folder)}: "
            f"{', '.join(unlisted[:3])}{' …' if len(unlisted) > 3 else ''}."
        )


def _refuse_empty(folder: Path, empty: list[str], folders: int) -> None:
    if empty:
        raise DatasetError(
            f"{_KEY}: {len(empty)} of the {folders} folders in {shown(folder)} hold no image: "
            f"{', '.join(map(shown, empty[:3]))}{' …' if len(empty) > 3 else ''}. Whether they are classes decides the number "
            "of every class after them: remove what is none, or list all classes in their order with "
            "dataset.classes=[a,b,c] or a file; a listed class may be empty."
        )


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(
        (path for path in found if not any(map(is_system_name, path.relative_to(folder).parts))),
        key=lambda path: path.as_posix(),
    )
