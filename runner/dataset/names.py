"""File names as other systems leave them: which are no data, how one is found in another spelling."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.errors import DatasetError
from runner.printable import shown

# What file managers, archivers and network drives put beside the data; with a leading dot there are more (._*, .DS_Store).
_SYSTEM = frozenset(
    {
        "__macosx",
        "__pycache__",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "network trash folder",
        "temporary items",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    }
)


def is_system_name(name: str) -> bool:
    """Return whether a file or folder belongs to a system and not to the data: hidden, or one of the well-known names."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def listed(folder: Path, key: str) -> list[Path]:
    """Return what a folder holds, sorted by name.

    Args:
        folder: an existing folder.
        key: the option that names it, for messages.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DatasetError(f"{key}: {shown(folder)} cannot be listed: {error.strerror}.") from error


def spelling(name: str) -> str:
    """Return what two names have in common that a person reads as the same.

    Accents count alike whether they are letters of their own (NFC) or marks behind a letter (NFD, as macOS writes them);
    bytes that are no UTF-8 are read as GB 18030, of which GBK is a part.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        try:
            name = os.fsencode(name).decode("gb18030")
        except UnicodeError:
            return name
    return unicodedata.normalize("NFC", name)


def by_spelling(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names under the spelling that they share."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(spelling(name), []).append(name)
    return found


class Files:
    """Files below a folder, found by the names that a list gives them.

    A list comes with the data, from wherever that is from, and names nothing outside the folder that its user has named. Links
    in that folder are followed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path | None:
        """Return the path of the file of this name, or of the only one of the same spelling; None where there is none.

        Raises:
            DatasetError: it names a file outside the folder.
        """
        # os.path.isfile: a name that is too long, or holds a null byte, is a missing file too.
        exact = self._folder / name
        if os.path.isfile(exact):
            if not self._holds(exact):
                raise DatasetError(
                    f"dataset.images: {shown(self._folder)} does not hold the listed file {shown(name)}, which lies outside "
                    "it; expected names below the folder. Set dataset.images to the folder that holds all of them."
                )
            return exact
        path: Path | None = self._folder
        for part in Path(name).parts:
            path = None if path is None else self._child(path, part)
        return path if path is not None and path.is_file() else None

    def _holds(self, path: Path) -> bool:
        """Return whether a path stays below the folder: as it is written, or, with parts that go up, as its links lead."""
        real = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._folder))
        return real or (".." not in path.parts and path.is_relative_to(self._folder))

    def _child(self, folder: Path, part: str) -> Path | None:
        if folder not in self._listed:
            self._listed[folder] = by_spelling(_names(folder))
        alike = self._listed[folder].get(spelling(part), [])
        if part in alike:
            return folder / part
        return folder / alike[0] if len(alike) == 1 else None


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return
