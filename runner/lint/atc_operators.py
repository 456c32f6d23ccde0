"""The operators that ATC reads, and the opsets at which it does: ``atc_operators.json``, with its source and date.

ATC looks a node up by domain, opset and operator together (``ai.onnx::13::Conv``); a version that no plugin names is as unknown
as an operator that none does, whatever ONNX says of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FILE = "atc_operators.json"


@dataclass(frozen=True, slots=True)
class AtcOperators:
    """What ATC reads of the default domain.

    Attributes:
        source: where this is known from.
        date: as of when.
        documented: the opsets that ATC's documentation names; plugins are registered for some older ones too.
        versions: operator -> opsets at which a plugin is registered for it.
        built_in: operators that need no plugin, at any opset.
    """

    source: str
    date: str
    documented: range
    versions: Mapping[str, frozenset[int]]
    built_in: frozenset[str]

    @property
    def newest(self) -> int:
        """The newest opset at which ATC reads a standard operator."""
        return max(self.versions["Conv"])

    @property
    def oldest(self) -> int:
        """The oldest opset at which ATC reads most operators."""
        return min(self.versions["Conv"])


@cache
def atc_operators() -> AtcOperators:
    """Return the table."""
    table = json.loads(files("runner.lint").joinpath(_FILE).read_text(encoding="utf-8"))
    first, *_, last = _opsets(table["documented_opsets"])
    return AtcOperators(
        source=table["source"],
        date=table["date"],
        documented=range(first, last + 1),
        versions={name: frozenset(_opsets(windows)) for name, windows in table["operators"].items()},
        built_in=frozenset(table["built_in"]),
    )


def takes(op_type: str, opset: int) -> bool:
    """Return whether ATC reads an operator of the default domain at an opset."""
    table = atc_operators()
    return op_type in table.built_in or opset in table.versions.get(op_type, ())


def said(opsets: Iterable[int]) -> str:
    """Return opsets in words: ``8 to 11, 16 to 18``."""
    runs: list[list[int]] = []
    for opset in sorted(opsets):
        if runs and opset == runs[-1][-1] + 1:
            runs[-1].append(opset)
        else:
            runs.append([opset])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _opsets(windows: str) -> list[int]:
    """Return the opsets of ``"8-9, 11-16"``."""
    opsets: list[int] = []
    for window in windows.split(","):
        first, _, last = window.strip().partition("-")
        opsets += range(int(first), int(last or first) + 1)
    return opsets
