"""See to it that a file or folder is at its place: as it lies there, or fetched.

Whole or not at all: everything happens in a hidden folder beside the place and is renamed into it. A lock beside the place
lets one process fetch and the others wait for it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from runner.download.archive import ArchiveError, unpack
from runner.download.source import DownloadOptions, Remote
from runner.download.stream import Progress, Stream, TransferError
from runner.errors import DownloadError

logger = logging.getLogger(__name__)


def is_there(remote: Remote) -> bool:
    """Return whether something lies at the place; an empty folder is nothing."""
    place = remote.place
    return any(place.iterdir()) if place.is_dir() else place.exists()


def fetch(remote: Remote, options: DownloadOptions, progress: Progress) -> bool:
    """Return True once the place is filled; False where it was already.

    Args:
        remote: what, from where, to where.
        options: whether it may be fetched, and how long that may take.
        progress: hears of bytes.

    Raises:
        DownloadError: it is missing and cannot, or must not, be fetched; the place is as it was.
    """
    if is_there(remote):
        if remote.place.is_file():
            check(remote, remote.place)
        return False
    by_hand = remote.packed and remote.file.is_file()
    if options.policy == "never" and not by_hand:
        raise _missing(remote, f"download=never forbids to fetch {remote.shown}")
    try:
        remote.place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(remote.place.parent / f".{remote.place.name}.lock", timeout=options.total_seconds):
            if is_there(remote):
                # Another process was first.
                return False
            with tempfile.TemporaryDirectory(
                dir=remote.place.parent,
                prefix=f".{remote.place.name[:40]}.",
                suffix=".part",
                ignore_cleanup_errors=True,
            ) as folder:
                _fill(remote, options, progress, Path(folder), by_hand=by_hand)
    except Timeout as error:
        raise _missing(
            remote, f"another process has fetched {remote.shown} for download.total_seconds={options.total_seconds:g}"
        ) from error
    except TransferError as error:
        raise _missing(remote, f"{remote.shown} cannot be downloaded: {error}") from error
    except OSError as error:
        raise DownloadError(
            f"{remote.key}: {remote.place.absolute()} is missing and cannot be written: {error.strerror or error}. "
            f"Set {remote.key} to a place that can, or to where the file is."
        ) from error
    return True


def check(remote: Remote, file: Path) -> None:
    """Compare a file that was put there by hand with the configured digest, if there is one.

    Raises:
        DownloadError: it holds other bytes.
    """
    if remote.sha256 is None:
        return
    found = pooch.file_hash(str(file), alg="sha256")
    if found != remote.sha256.lower():
        section = remote.key.rpartition(".")[0]
        raise DownloadError(
            f"{section}.sha256: expected {remote.sha256.lower()}, but {file.absolute()} has {found}. "
            f"Remove the file to have it fetched again, or set {section}.sha256 to null."
        )


def _fill(remote: Remote, options: DownloadOptions, progress: Progress, folder: Path, *, by_hand: bool) -> None:
    arrived = remote.file if by_hand else _download(remote, options, progress, folder)
    if by_hand:
        check(remote, arrived)
    if not remote.packed:
        arrived.chmod(0o644)
        os.replace(arrived, remote.place)
        return
    inside = folder / "unpacked"
    inside.mkdir()
    try:
        unpacked = unpack(arrived, inside, remote.place.name)
    except ArchiveError as error:
        source = str(remote.file.absolute()) if by_hand else remote.shown
        raise DownloadError(
            f"{remote.key}: {remote.place.absolute()} is missing, and {source} is not unpacked: {error}. "
            f"Set {remote.key} to a folder that you trust."
        ) from error
    os.replace(unpacked, remote.place)


def _download(remote: Remote, options: DownloadOptions, progress: Progress, folder: Path) -> Path:
    stream = Stream(options, progress, checked=remote.sha256 is not None)
    # What pooch would tell is told by events and messages.
    pooch.get_logger().setLevel(logging.WARNING)
    known = None if remote.sha256 is None else f"sha256:{remote.sha256.lower()}"
    try:
        path = pooch.retrieve(remote.url, known, fname="arrived", path=folder, downloader=stream)
    except ValueError as error:
        if not stream.sha256 or remote.sha256 is None:
            raise
        section = remote.key.rpartition(".")[0]
        raise _missing(
            remote,
            f"{remote.shown} gives other bytes than {section}.sha256 says: expected {remote.sha256.lower()}, "
            f"got {stream.sha256}",
        ) from error
    logger.info("%s: fetched %s, sha256 %s", remote.key, remote.shown, stream.sha256)
    return Path(path)


def _missing(remote: Remote, reason: str) -> DownloadError:
    then = f" (it is unpacked to {remote.place.absolute()})" if remote.packed else ""
    return DownloadError(
        f"{remote.key}: {remote.place.absolute()} does not exist, and {reason}. Get the file from {remote.shown} by hand and "
        f"put it at {remote.file.absolute()}{then}, or set {remote.key} to where it is."
    )
