"""A folder of results, each named by the digest of what it depends on, so that an entry never goes stale.

An entry is a file ``<root>/<2 hex>/<64 hex>``: arrays (``.npz`` without pickle, JSON among them, or one ``.npy``) and behind
them the sha256 of its name and those bytes, so that an entry under another's name is none. It is renamed into place whole; two
jobs that make one entry at a time make the same one, so nothing is locked. What was not used for longest goes first when the
folder outgrows its bound. A store that cannot be written costs a warning, never the job.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import logging
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.array_faults import UNREADABLE

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
# Format 1.0, in which numpy writes every array of plain numbers.
_NPY = b"\x93NUMPY\x01\x00"
# A part of the bound that may be written before the folder is looked through again.
_TRIM_SHARE = 8
# A temporary file as old as this has lost its process.
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A result as it is kept: plain values for JSON, and arrays by name."""

    values: Any
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Store:
    """Entries by key; may be used from several threads and by several processes at once.

    Args:
        root: folder of the entries, made when the first one is written.
        max_bytes: what they may take together.
        refresh: take nothing that an earlier job left; make it again and keep it.
        warn: told of an entry that is corrupted, and of a folder that cannot be written.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int,
        *,
        refresh: bool = False,
        warn: Callable[[str], None] = logger.warning,
    ) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._refresh = refresh
        self._warn = warn
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._sound: set[str] = set()
        self._untrimmed = 0
        self._writes = True

    def get(self, key: str) -> Entry | None:
        """Return what is kept under a key, or None; a corrupted entry is removed, with a warning."""
        payload = self._payload(key)
        if payload is None:
            return None
        try:
            with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
                head = json.loads(stored["head"].tobytes())
                arrays = {name: stored[f"{i}"] for i, name in enumerate(head["arrays"])}
                if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                    raise ValueError(head)
                return Entry(head["values"], arrays)
        except UNREADABLE:
            self.discard(key)
            return None

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry; one that holds anything but numbers is not kept."""
        if any(array.dtype.hasobject for array in entry.arrays.values()):
            return
        head = json.dumps({"values": entry.values, "arrays": list(entry.arrays)}).encode()
        stream = io.BytesIO()
        numbered = {f"{i}": array for i, array in enumerate(entry.arrays.values())}
        np.savez(stream, allow_pickle=False, head=np.frombuffer(head, np.uint8), **numbered)
        self._write(key, stream.getvalue())

    def array(self, key: str) -> NDArray[Any] | None:
        """Return the one array kept under a key, read-only; None where there is none."""
        # Checked once a process: after that only a failing disk could change the file.
        payload = self._payload(key, check=key not in self._sound)
        if payload is None:
            return None
        try:
            return _npy(payload)
        except UNREADABLE:
            self.discard(key)
            return None

    def put_array(self, key: str, array: NDArray[Any]) -> None:
        """Keep one array as a file of its own."""
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        self._write(key, stream.getvalue())

    def discard(self, key: str) -> None:
        """Remove a corrupted entry, with a warning."""
        path = self._file(key)
        self._warn(f"cache: {path} is corrupted; it is removed and made again.")
        with self._lock:
            self._sound.discard(key)
        with contextlib.suppress(OSError):
            path.unlink()

    def trim(self) -> None:
        """Remove what was not used for longest until the rest is within the bound."""
        with self._lock:
            if not self._untrimmed:
                return
            self._untrimmed = 0
        entries = []
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix != ".part":
                    entries.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for _, size, path in sorted(entries, key=lambda entry: entry[0]):
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size

    def _file(self, key: str) -> Path:
        return self.root / key[:2] / key

    def _payload(self, key: str, *, check: bool = True) -> bytes | None:
        """Return an entry's bytes, after checking them unless that was done."""
        if self._refresh and key not in self._own:
            return None
        path = self._file(key)
        try:
            data = path.read_bytes()
            if check:
                os.utime(path)
        except OSError:
            return None
        payload = data[:-_DIGEST_BYTES]
        if not check:
            return payload
        if _digest(key, payload) != data[-_DIGEST_BYTES:]:
            self.discard(key)
            return None
        with self._lock:
            self._sound.add(key)
        return payload

    def _write(self, key: str, payload: bytes) -> None:
        if not self._writes or len(payload) > self.max_bytes:
            return
        path = self._file(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(payload)
                    stream.write(_digest(key, payload))
                # Not flushed to disk: what a power cut tears is seen by its digest.
                os.replace(name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            self._writes = False
            self._warn(f"cache: {self.root} cannot be written ({error.strerror or error}); nothing more is kept there.")
            return
        with self._lock:
            self._own.add(key)
            self._sound.add(key)
            self._untrimmed += len(payload)
            full = self._untrimmed * _TRIM_SHARE > self.max_bytes
        if full:
            self.trim()


def _digest(key: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(key.encode("ascii"))
    digest.update(payload)
    return digest.digest()


def _npy(payload: bytes) -> NDArray[Any]:
    """Return the array of a ``.npy`` file's bytes, which may have anything behind it; ``np.load`` takes thrice as long.

    Raises:
        ValueError: it is none.
    """
    if payload[: len(_NPY)] != _NPY:
        raise ValueError(payload[: len(_NPY)])
    start = len(_NPY) + 2 + int.from_bytes(payload[len(_NPY) : len(_NPY) + 2], "little")
    shape, columns_first, dtype = _npy_head(payload[len(_NPY) : start])
    flat = np.frombuffer(payload, dtype, math.prod(shape), start)
    return flat.reshape(shape, order="F" if columns_first else "C")


@functools.lru_cache(maxsize=256)
def _npy_head(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type as a head says them; the arrays of a dataset have few different ones."""
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(head))
    return shape, columns_first, dtype
