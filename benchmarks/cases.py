"""What is measured: command-line options, and the job that they make, so that every tool sees the same items."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import ROOT

ZOO = Path(os.environ.get("RUNNER_ZOO", ROOT.parent / "shared" / "zoo"))


@dataclass(frozen=True, slots=True)
class Case:
    """A model with its data.

    Attributes:
        name: in tables; of a zoo model, its experiment's.
        options: of the command line that describe model and data.
    """

    name: str
    options: tuple[str, ...]


def cases(names: list[str] | None = None) -> list[Case]:
    """Return the named zoo models, or the shipped digits where there is no zoo."""
    if not (ZOO / "models").is_dir():
        return [Case("digits", ())]
    wanted = names or ["tf2_ptq_float", "st_mobilenet_v2"]
    return [zoo_case(name) if name != "digits" else Case("digits", ()) for name in wanted]


def zoo_case(name: str) -> Case:
    """Return a model of the zoo, as ``tests/conf/experiment/zoo`` describes it."""
    os.environ.setdefault("RUNNER_ZOO", str(ZOO))
    return Case(name, ("--config-dir", str(ROOT / "tests" / "conf"), f"+experiment=zoo/{name}"))
