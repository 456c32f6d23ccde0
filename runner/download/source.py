"""What is fetched from where, to which path, and how long that may take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from runner.credentials import without_credentials
from runner.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Remote:
    """A file, or a folder packed as .zip, that has a place on this machine.

    Attributes:
        url: http or https.
        place: where the file, or the unpacked folder, belongs.
        key: the option that says so, for messages.
        sha256: hex digest of what the URL gives; None to take what comes.
    """

    url: str
    place: Path
    key: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        section = self.key.rpartition(".")[0]
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise ConfigError(
                f"{section}.url: expected an address that begins with http:// or https://, got '{self.shown}'."
            )
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise ConfigError(f"{section}.sha256: expected 64 hex digits or null, got '{self.sha256}'.")

    @property
    def shown(self) -> str:
        """Return the URL as messages have it: without passwords and tokens."""
        return without_credentials(self.url)

    @property
    def packed(self) -> bool:
        """Return whether the URL gives a .zip of what belongs at the place."""
        return self.file_name.lower().endswith(".zip") and self.place.suffix.lower() != ".zip"

    @property
    def file(self) -> Path:
        """Return where what the URL gives belongs: the place itself, or the .zip beside it."""
        return self.place.parent / self.file_name if self.packed else self.place

    @property
    def file_name(self) -> str:
        """Return what the URL calls the file."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """``download``: whether, and how long it may take; every wait ends.

    Attributes:
        policy: ``auto`` fetches what is missing, ``never`` refuses to.
        connect_seconds: until the server answers the call.
        read_seconds: until the next bytes come.
        total_seconds: for one file from the call to its last byte, and for another process that fetches the same one.
    """

    policy: Literal["auto", "never"] = "auto"
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    total_seconds: float = 1800.0

    def __post_init__(self) -> None:
        for name in ("connect_seconds", "read_seconds", "total_seconds"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"download.{name}: expected a finite number above 0, got {value}.")
