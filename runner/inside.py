"""Files that something in a folder names: whether they are the folder's own."""

from __future__ import annotations

import errno
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


def linked_folder(folder: Path, path: Path) -> Path | None:
    """Return the first link among the folders that lead to a path below a folder; a file would be written through it."""
    between = [folder / parent for parent in path.relative_to(folder).parents if parent != Path()]
    return next((parent for parent in between if parent.is_symlink()), None)


def writable_place(folder: Path, name: str | Path) -> Path:
    """Return where a job writes a file of its folder, after taking away whatever stands there that is no file, such as a link.

    Raises:
        OSError: a folder on the way is a link, or what stands there cannot be taken away.
    """
    path = folder / name
    linked = linked_folder(folder, path)
    if linked is not None:
        raise NotADirectoryError(errno.ENOTDIR, f"{linked} is a link; remove it", str(linked))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
        path.unlink()
    return path
