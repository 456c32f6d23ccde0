"""Short texts for the options of a job: a folder's name, a table's cell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from runner.app.loudness import KEYS as LOUDNESS

_LONGEST = 60
# Beside hydra's own they say where and how a job runs, not what it computes.
NO_RESULT = ("paths", "tracking", "cache", "engine", "download", "sweep", "tune", "doctor", *LOUDNESS)


def job_label(options: Mapping[str, str]) -> str:
    """Return a folder's name that says the options: no slashes, at most 60 characters, ``job`` where there are none."""
    label = _joined(options)
    if len(label) > _LONGEST:
        label = _joined(short_keys(options))
    if len(label) <= _LONGEST:
        return label or "job"
    digest = hashlib.sha256(repr(sorted(options.items())).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{label[: _LONGEST - 9]}-{digest}"


def short_keys(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options under the last part of their keys, where no two have the same."""
    last = {key: re.split(r"[./]", key)[-1] for key in options}
    taken = list(last.values())
    return {last[key] if taken.count(last[key]) == 1 else key: value for key, value in options.items()}


def without_common_folder(values: Sequence[str]) -> list[str]:
    """Return paths without the folders that all of them begin with: what is left tells them apart."""
    parts = [value.replace("\\", "/").rstrip("/").split("/") for value in values]
    common = 0
    while all(len(path) > common + 1 for path in parts) and len({path[common] for path in parts}) == 1:
        common += 1
    return ["/".join(path[common:]) for path in parts]


def _joined(options: Mapping[str, str]) -> str:
    return re.sub(r"[^\w.=,+-]", "_", ",".join(f"{key}={value}" for key, value in options.items()))
