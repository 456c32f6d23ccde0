"""One HTTP transfer into a file: counted, hashed, and ended in finite time. Plugs into pooch as a downloader."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectTimeout, InvalidSchema, ReadTimeout, RequestException
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from runner.credentials import without_credentials
from runner.download.source import DownloadOptions

# So many bytes are done, of so many; None where the server does not say.
Progress = Callable[[int, int | None], None]
_MOST_AT_ONCE = 1 << 18
_OK = 200


class TransferError(Exception):
    """Why nothing whole arrived, in words."""


class Stream:
    """Fetches one URL; ``sha256`` is the digest of what came.

    Args:
        options: how long it may take.
        progress: hears of bytes, in the thread that fetches.
        checked: whether the digest of the file is known before, so that it does not matter who gives it.
    """

    def __init__(self, options: DownloadOptions, progress: Progress, *, checked: bool = False) -> None:
        self.sha256 = ""
        self._options = options
        self._progress = progress
        self._checked = checked

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:  # noqa: ANN401 - pooch's interface
        """Write what the URL gives to the path ``output_file``.

        Raises:
            TransferError: no answer, an answer that is no file, or the file broke off.
        """
        transfer = _Transfer(url, Path(output_file), self._options, checked=self._checked)
        # In a thread of its own, which can be left behind: each byte of a server that drips, in its head too, is an answer in
        # time to whoever waits for the next one only.
        threading.Thread(target=transfer.run, daemon=True).start()
        deadline, done = time.monotonic() + self._options.total_seconds, 0
        try:
            while (said := transfer.said.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                if isinstance(said, BaseException):
                    raise said
                done = said[0]
                self._progress(*said)
        except queue.Empty:
            raise TransferError(
                f"only {done} bytes came within download.total_seconds={self._options.total_seconds:g}"
            ) from None
        finally:
            transfer.left.set()
        self.sha256 = transfer.sha256


class _Transfer:
    """A transfer from its thread's side.

    Attributes:
        said: progress, then None at the end, or the error that ended it.
        left: set once nobody waits for it.
        sha256: of what came, once it ended.
    """

    def __init__(self, url: str, path: Path, options: DownloadOptions, *, checked: bool) -> None:
        self.said: queue.Queue[tuple[int, int | None] | BaseException | None] = queue.Queue()
        self.left = threading.Event()
        self.sha256 = ""
        self._url, self._path, self._options, self._checked = url, path, options, checked

    def run(self) -> None:
        try:
            self._fetch()
        except BaseException as error:
            self.said.put(error)
        else:
            self.said.put(None)

    def _fetch(self) -> None:
        options = self._options
        try:
            with (
                _Session(checked=self._checked) as session,
                session.get(
                    self._url,
                    stream=True,
                    timeout=(options.connect_seconds, options.read_seconds),
                    # Else the length in the header is not that of the file.
                    headers={"Accept-Encoding": "identity"},
                ) as response,
            ):
                self._store(response)
        except ConnectTimeout as error:
            raise TransferError(
                f"the server does not answer within download.connect_seconds={options.connect_seconds:g}"
            ) from error
        except (ReadTimeout, ReadTimeoutError) as error:
            raise TransferError(f"nothing came for download.read_seconds={options.read_seconds:g}") from error
        except InvalidSchema as error:
            raise TransferError(
                f"it redirects to an address that is not http or https ({without_credentials(str(error))})"
            ) from error
        except (RequestException, HTTPError, OSError) as error:
            raise TransferError(_innermost(error)) from error

    def _store(self, response: requests.Response) -> None:
        if response.status_code != _OK:
            raise TransferError(f"the server answers {response.status_code} {response.reason}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise TransferError("the server answers with a web page instead of the file")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else None
        digest, done = hashlib.sha256(), 0
        self.said.put((0, total))
        try:
            with self._path.open("wb") as stream:
                # read1 returns what has come, so that a server of one byte a second is left in time too.
                while not self.left.is_set() and (chunk := response.raw.read1(_MOST_AT_ONCE)):
                    stream.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    self.said.put((done, total))
                stream.flush()
                os.fsync(stream.fileno())
        except ProtocolError as error:
            raise TransferError(_broke_off(done, total)) from error
        if total is not None and done != total:
            raise TransferError(_broke_off(done, total))
        if not done:
            raise TransferError("the server gives a file of 0 bytes")
        self.sha256 = digest.hexdigest()


class _Session(requests.Session):
    """Follows no redirect that gives up https, unless the file's digest is known."""

    def __init__(self, *, checked: bool) -> None:
        super().__init__()
        self._checked = checked

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target: str | None = super().get_redirect_target(resp)
        if target is None or self._checked or urlsplit(resp.url).scheme != "https":
            return target
        if urlsplit(target).scheme == "http":
            raise TransferError(
                f"it redirects from https to {without_credentials(target)}, where anybody on the way can put another file; "
                "with the file's sha256 beside the url it would be taken"
            )
        return target


def _broke_off(done: int, total: int | None) -> str:
    return f"it broke off after {done}{'' if total is None else f' of {total}'} bytes"


def _innermost(error: BaseException) -> str:
    """Return the cause's own words: requests and urllib3 wrap one another."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return without_credentials(" ".join(str(cause).split()))[:200] or type(cause).__name__
