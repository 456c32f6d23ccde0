"""Unpack a .zip into a folder, and nowhere else."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

# Controls, line separators, bytes that are no text: such names steer terminals and break lists.
_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})


class ArchiveError(Exception):
    """Why an archive is not unpacked, in words."""


def unpack(archive: Path, folder: Path, place: str) -> Path:
    """Unpack what belongs at ``place`` below ``folder`` and return its path there.

    That is the entry of that name at the archive's top, or the whole archive where it has none.

    Args:
        archive: a .zip file.
        folder: an empty folder.
        place: name of the file or folder that is wanted.

    Raises:
        ArchiveError: the archive is damaged, or an entry would leave the folder, is a link or a device, is encrypted or
            stands there twice; nothing was written then.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [(info, _inside(info)) for info in opened.infolist()]
            wanted = [(info, path) for info, path in entries if path.parts and path.parts[0] == place]
            rooted = bool(wanted)
            wanted = wanted or [(info, path) for info, path in entries if path.parts and path.parts[0] != "__MACOSX"]
            _refuse_twice(path for info, path in wanted if not info.is_dir())
            needed, free = sum(info.file_size for info, _ in wanted), shutil.disk_usage(folder).free
            if needed > free:
                raise ArchiveError(f"it unpacks to {needed} bytes, and {free} are free")
            if not any(not info.is_dir() for info, _ in wanted):
                raise ArchiveError("it holds no file")
            target = folder if rooted else folder / place
            for info, path in wanted:
                _write(opened, info, target / path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise ArchiveError(f"it is no whole .zip file ({error})") from error
    except (ValueError, RuntimeError, OverflowError, struct.error, lzma.LZMAError) as error:
        raise ArchiveError(f"it is no whole .zip file ({error})") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"an entry is a file and a folder at once ({error.filename})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # that is an offset that no file has
            raise
        raise ArchiveError(f"it is no whole .zip file ({error.strerror})") from error
    return folder / place


def _inside(info: zipfile.ZipInfo) -> PurePosixPath:
    """Return an entry's path below the folder."""
    # orig_filename: zipfile has replaced some characters in the other.
    name = info.orig_filename
    path = PurePosixPath(name)
    if any(unicodedata.category(char) in _UNSHOWN for char in name):
        raise ArchiveError(f"the name of its entry {name!a} holds control characters")
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise ArchiveError(f"its entry '{name}' would leave the folder")
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"its entry '{name}' is a link or a device")
    if info.flag_bits & 0x1:
        raise ArchiveError(f"its entry '{name}' is encrypted")
    return path


def _refuse_twice(paths: Iterable[PurePosixPath]) -> None:
    seen: set[PurePosixPath] = set()
    for path in paths:
        if path in seen:
            raise ArchiveError(f"its entry '{path}' stands there twice")
        seen.add(path)


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Ends at the size that the archive's directory states, and checks the CRC.
    with opened.open(info) as source, target.open("xb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
