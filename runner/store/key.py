"""What a stored result is called: the digest of everything that it depends on.

A key is made of the stage's name, the VERSION of each module that the stage runs through, the stage's inputs (graphs and items
by their digests, options by value), and the machine's arithmetic: onnxruntime, numpy and the processor's features.

Options count by their class and fields. That holds for this package's own classes, whose meaning VERSION tracks. What a class
of a user's computes cannot be seen from outside, so a stage that such an object takes part in has no key and is never stored.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any

import numpy as np

_OURS = "runner."
# Raised where an entry's bytes change meaning: those of an older form are never asked for, and go with time.
_FORM = 2


class _ForeignError(Exception):
    """A part is of a class whose meaning is not known."""


def stage_key(stage: str, versions: Sequence[int], *parts: Any) -> str | None:  # noqa: ANN401 - whatever a stage takes
    """Return the key of a stage's result, or None where a part is an object of a user's own class.

    Args:
        stage: its name.
        versions: the VERSION of every module whose meaning the result depends on.
        parts: its inputs: plain values, arrays, containers and frozen dataclasses of this package; None is a value.
    """
    try:
        described = [_FORM, stage, list(versions), arithmetic(), [_described(part) for part in parts]]
    except _ForeignError:
        return None
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


@functools.cache
def arithmetic() -> tuple[str, ...]:
    """Return what decides the bits of a floating-point sum beside the program: libraries and processor features."""
    libraries = [f"{name} {metadata.version(name)}" for name in ("onnxruntime", "numpy")]
    return (*libraries, platform.machine(), _cpu_features())


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_features() -> str:
    return " ".join(sorted((_cpuinfo("flags") or _cpuinfo("Features") or platform.processor()).split()))


def _cpuinfo(wanted: str) -> str:
    """Return what Linux tells of the first processor under a name, or nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name.strip() == wanted:
                    return value.strip()
    except OSError:
        pass
    return ""


def _described(part: Any) -> Any:  # noqa: ANN401
    """Return a part as plain values that tell different parts apart."""
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.dtype):
        return ["dtype", str(part)]
    if isinstance(part, bytes):
        return ["bytes", hashlib.sha256(part).hexdigest()]
    if isinstance(part, np.ndarray):
        return ["array", str(part.dtype), list(part.shape), hashlib.sha256(part.tobytes()).hexdigest()]
    if isinstance(part, Mapping):
        return ["map", [[_described(key), _described(value)] for key, value in part.items()]]
    if isinstance(part, list | tuple):
        return [_described(value) for value in part]
    if isinstance(part, set | frozenset):
        return ["set", sorted(json.dumps(_described(value)) for value in part)]
    kind = type(part)
    if is_dataclass(part) and kind.__module__.startswith(_OURS):
        named = [[field.name, _described(getattr(part, field.name))] for field in fields(part) if field.compare]
        return [f"{kind.__module__}.{kind.__qualname__}", named]
    raise _ForeignError
