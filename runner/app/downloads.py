"""``url`` beside ``path`` or ``images``: what is missing there is fetched before the job starts."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.app.checking import build
from runner.class_path import class_at
from runner.download.source import DownloadOptions, Remote
from runner.errors import ConfigError
from runner.events import DOWNLOAD, Emit, StageAdvanced, StageFinished, StageStarted

# Where an address may stand, and what it is called there.
SECTIONS = (("model",), ("dataset",), ("calibration", "dataset"))
OURS = ("url", "sha256")
_PLACES = ("path", "images")
# A bar is drawn ten times a second; a job's listeners need no more.
_SECONDS_BETWEEN = 0.1


def without_urls(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as the parts take it: they know places, not addresses."""
    plain = dict(config)
    for names in SECTIONS:
        _strip(plain, names)
    return plain


def fetch_missing(config: Mapping[str, Any], emit: Emit) -> None:
    """Fetch what is configured with a URL and is missing at its place, one stage a file.

    Raises:
        ConfigError: an address, a digest or an option of ``download`` is wrong.
        DownloadError: something cannot, or must not, be fetched.
    """
    remotes = list(_remotes(config))
    if not remotes:
        return
    options = build(config.get("download", {}), DownloadOptions, "download")
    # Imported here: requests and pooch are needed by those only who fetch.
    from runner.download.fetch import fetch

    for remote in remotes:
        report = _Report(f"{remote.file_name} to {remote.place.parent}", emit)
        if fetch(remote, options, report):
            report.finish()


def missing_remotes(config: Mapping[str, Any]) -> list[Remote]:
    """Return what a job would fetch, or would have to.

    Raises:
        ConfigError: an address or a digest is wrong.
    """
    return [remote for remote in _remotes(config) if not remote.place.exists() and not remote.file.exists()]


def _remotes(config: Mapping[str, Any]) -> Iterator[Remote]:
    for names in SECTIONS:
        node: Any = config
        for name in names:
            node = node.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or _takes_url(node) or node.get("url") is None:
            continue
        section = ".".join(names)
        place = next((key for key in _PLACES if node.get(key) is not None), None)
        if place is None:
            raise ConfigError(
                f"{section}.url: expected {section}.{' or '.join(_PLACES)} beside it, the place to put it at."
            )
        values = {key: build(node.get(key), str | None, f"{section}.{key}") for key in (place, *OURS)}
        yield Remote(values["url"], Path(values[place]), f"{section}.{place}", values["sha256"])


def _strip(config: dict[str, Any], names: tuple[str, ...]) -> None:
    node = config.get(names[0])
    if not isinstance(node, Mapping):
        return
    copy = dict(node)
    config[names[0]] = copy
    if len(names) > 1:
        _strip(copy, names[1:])
    elif not _takes_url(copy):
        for key in OURS:
            copy.pop(key, None)


def own_options(node: Mapping[str, Any], section: str) -> frozenset[str]:
    """Return the options that the class of a part takes itself; none where no class is named."""
    if "_target_" not in node:
        return frozenset()
    return frozenset(inspect.signature(class_at(node["_target_"], f"{section}._target_")).parameters)


def _takes_url(node: Mapping[str, Any]) -> bool:
    """Return whether a part's own class has an option ``url``, which then is its own matter."""
    return "url" in node and "url" in own_options(node, "dataset")


class _Report:
    """Bytes as events of a stage."""

    def __init__(self, detail: str, emit: Emit) -> None:
        self._detail, self._emit = detail, emit
        self._start: float | None = None
        self._last = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.perf_counter()
        if self._start is None:
            self._start = now
            self._emit(StageStarted(DOWNLOAD, total or 0, self._detail))
        if now - self._last >= _SECONDS_BETWEEN or done == total:
            self._last = now
            self._emit(StageAdvanced(DOWNLOAD, done))

    def finish(self) -> None:
        """End the stage, if bytes came at all: an archive may have lain there."""
        if self._start is not None:
            self._emit(StageFinished(DOWNLOAD, time.perf_counter() - self._start))
