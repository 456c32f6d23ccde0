"""Files that something in a folder names: whether they are the folder's own."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath


class OutsideError(ValueError):
    """Why a named file is none of the folder's, in words that go on after its name."""


def file_inside(folder: Path, name: str) -> Path:
    """Return the path of a file that something in a folder names; it need not exist.

    Raises:
        OutsideError: the name is absolute or leaves the folder, a link in it does, or it is a folder, device or pipe.
    """
    if not name or "\0" in name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        raise OutsideError("is no path below its folder")
    path = folder / name
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise OutsideError("leaves its folder")
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise OutsideError(f"is a link to {real}, which leaves its folder")
    if real.exists() and not real.is_file():
        raise OutsideError("is no regular file")
    return path


def own_file(folder: Path, name: str) -> Path | None:
    """Return the path of a file that a folder names and holds; None where it is not there, a link, or none of the folder's.

    Folders are passed on, and what lies in one decides about nothing outside it.
    """
    try:
        path = file_inside(folder, name)
    except OutsideError:
        return None
    return path if path.is_file() and not path.is_symlink() else None
