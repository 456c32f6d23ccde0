"""One HTTP transfer into a file: counted, hashed, and ended in finite time. Plugs into pooch as a downloader."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from requests.exceptions import ConnectTimeout, InvalidSchema, ReadTimeout, RequestException
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from runner.download.source import DownloadOptions

# So many bytes are done, of so many; None where the server does not say.
Progress = Callable[[int, int | None], None]
_MOST_AT_ONCE = 1 << 18


class TransferError(Exception):
    """Why nothing whole arrived, in words."""


class Stream:
    """Fetches one URL; ``sha256`` is the digest of what came.

    Args:
        options: how long it may take.
        progress: hears of bytes.
    """

    def __init__(self, options: DownloadOptions, progress: Progress) -> None:
        self.sha256 = ""
        self._options = options
        self._progress = progress

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:  # noqa: ANN401 - pooch's interface
        """Write what the URL gives to the path ``output_file``.

        Raises:
            TransferError: no answer, an answer that is no file, or the file broke off.
        """
        options = self._options
        deadline = time.monotonic() + options.total_seconds
        try:
            with requests.get(
                url,
                stream=True,
                timeout=(options.connect_seconds, options.read_seconds),
                # Else the length in the header is not that of the file.
                headers={"Accept-Encoding": "identity"},
            ) as response:
                self._store(response, Path(output_file), deadline)
        except ConnectTimeout as error:
            raise TransferError(
                f"the server does not answer within download.connect_seconds={options.connect_seconds:g}"
            ) from error
        except (ReadTimeout, ReadTimeoutError) as error:
            raise TransferError(f"nothing came for download.read_seconds={options.read_seconds:g}") from error
        except InvalidSchema as error:
            raise TransferError(f"it redirects to an address that is not http or https ({error})") from error
        except (RequestException, HTTPError, OSError) as error:
            raise TransferError(_innermost(error)) from error

    def _store(self, response: requests.Response, path: Path, deadline: float) -> None:
        if not response.ok:
            raise TransferError(f"the server answers {response.status_code} {response.reason}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise TransferError("the server answers with a web page instead of the file")
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else None
        digest, done = hashlib.sha256(), 0
        self._progress(0, total)
        try:
            with path.open("wb") as stream:
                # read1 returns what has come, so that a server of one byte a second meets the deadline too.
                while chunk := response.raw.read1(_MOST_AT_ONCE):
                    stream.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    self._progress(done, total)
                    if time.monotonic() > deadline:
                        raise TransferError(
                            f"only {done} bytes came within download.total_seconds={self._options.total_seconds:g}"
                        )
                stream.flush()
                os.fsync(stream.fileno())
        except ProtocolError as error:
            raise TransferError(_broke_off(done, total)) from error
        if total is not None and done != total:
            raise TransferError(_broke_off(done, total))
        self.sha256 = digest.hexdigest()


def _broke_off(done: int, total: int | None) -> str:
    return f"it broke off after {done}{'' if total is None else f' of {total}'} bytes"


def _innermost(error: BaseException) -> str:
    """Return the cause's own words: requests and urllib3 wrap one another."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return " ".join(str(cause).split())[:200] or type(cause).__name__
