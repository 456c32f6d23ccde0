"""Where things are: the shipped configuration, models and data, and the label of a sweep's job.

They stand at the top of a checkout and inside the package of a built wheel; the first that exists is used.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parent.parent
_LONGEST_LABEL = 60


def shipped(name: str) -> str:
    """Return the path of a shipped file or folder, such as ``conf`` or ``model/mobilenet_v2_digits.onnx``."""
    inside = _PACKAGE / name
    return str(inside if inside.exists() else _PACKAGE.parent / name)


def absolute(path: str) -> str:
    """Return a path made absolute against the directory of the command."""
    return str(Path(path).expanduser().absolute())


def job_label(overrides: str) -> str:
    """Return a short folder name for a job's overrides: no slashes, no paths, at most 60 characters."""
    kept = []
    # Not at every comma: a value may be a list.
    for part in re.split(r",(?=[^,=]+=)", overrides):
        key, _, value = part.partition("=")
        if not key or key.lstrip("+") in ("mode", "tracking", "sweep") or key.startswith(("paths.", "hydra")):
            continue
        short = value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        kept.append(f"{key.lstrip('+').rsplit('/', 1)[-1]}={short}")
    label = re.sub(r"[^\w.=,+-]", "_", ",".join(kept)) or "job"
    if len(label) <= _LONGEST_LABEL:
        return label
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{label[: _LONGEST_LABEL - 9]}-{digest}"


def make_importable(folders: Iterable[str]) -> None:
    """Let classes be imported from these folders too; what Python finds elsewhere comes first."""
    sys.path.extend(folder for folder in dict.fromkeys(folders) if folder not in sys.path)


def names_own_class(config: Any) -> bool:  # noqa: ANN401 - configuration is any value
    """Return whether a configuration names a class that is not the runner's: by ``_target_``, or as an AMCT evaluator."""
    if isinstance(config, Mapping):
        named = [value for key, value in config.items() if key in ("_target_", "evaluator") and isinstance(value, str)]
        return any(not name.startswith("runner.") for name in named) or any(map(names_own_class, config.values()))
    return isinstance(config, list) and any(map(names_own_class, config))


def register_resolvers() -> None:
    """Make ``${shipped:…}``, ``${absolute:…}`` and ``${job_label:…}`` known to the configuration."""
    for name, resolver in (("shipped", shipped), ("absolute", absolute), ("job_label", job_label)):
        OmegaConf.register_new_resolver(name, resolver, replace=True)
