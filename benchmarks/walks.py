"""How far does a reader have to walk? Follows a function through the files of runner/ as it runs, and counts.

    python -m benchmarks.walks runner.convert.qdq.read:read_qdq --model model/mobilenet_v2_digits_qat.onnx
    python -m benchmarks.walks runner.report.page:page -- quant=amct tracking=none cache=none

With ``--model`` the function is called with that model, and with Ascend's limits where it takes any; otherwise a job with the
options behind ``--`` is run, and followed while the function is at work. Two walks are counted:

    read   every function once, when it is first called: what somebody sees who reads along
    run    every call

Comprehensions and lambdas belong to the function that holds them, and a property is read like the field that it looks like.
For each, ``rooms`` are the files entered, and ``returns`` how often a file is entered that had been left before. ``--tree``
names another checkout to follow; ``--under`` a folder, whose files and the imports between them are counted on their own.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import runpy
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


@dataclass(frozen=True, slots=True)
class Walk:
    """Files in the order in which they are entered, none twice in a row."""

    files: tuple[str, ...]

    @classmethod
    def of(cls, steps: Iterable[str], under: str = "") -> Walk:
        """Return the walk through the files whose path begins with ``under``."""
        return cls(tuple(file for file, _ in groupby(step for step in steps if step.startswith(under))))

    @property
    def rooms(self) -> int:
        """How many different files there are."""
        return len(set(self.files))

    @property
    def returns(self) -> int:
        """How often a file is entered that had been left before."""
        return len(self.files) - self.rooms


@dataclass(slots=True)
class Follower:
    """Notes the files of every call below ``root`` while a function is at work, on each thread.

    Attributes:
        root: the checkout, with a / behind.
        entry: code of the function to follow.
        calls: the file of each call, relative to the root, and whether the function is called for the first time.
    """

    root: str
    entry: CodeType
    calls: list[tuple[str, bool]] = field(default_factory=list)
    _seen: set[CodeType] = field(default_factory=set)
    _properties: dict[str, set[int]] = field(default_factory=dict)
    _inside: threading.local = field(default_factory=threading.local)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Be told of a call or a return, as ``sys.setprofile`` tells it."""
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(self.root):
            return
        depth = getattr(self._inside, "depth", 0)
        if code is self.entry:
            depth += 1 if event == "call" else -1
            self._inside.depth = depth
        if event == "call" and (depth or code is self.entry) and not self._told_by_caller(code):
            self.calls.append((code.co_filename[len(self.root) :], code not in self._seen))
            self._seen.add(code)

    def _told_by_caller(self, code: CodeType) -> bool:
        if code.co_name.startswith("<"):
            return True
        if code.co_filename not in self._properties:
            self._properties[code.co_filename] = property_lines(Path(code.co_filename).read_text(encoding="utf-8"))
        return code.co_firstlineno in self._properties[code.co_filename]

    def walk(self, *, once: bool, under: str = "") -> Walk:
        """Return where the calls led, or only the first of each function."""
        return Walk.of((file for file, first in self.calls if first or not once), under)


def property_lines(source: str) -> set[int]:
    """Return the first lines of a file's properties, decorators included."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    decorators = ((d for d in node.decorator_list if isinstance(d, ast.Name)) for node in functions)
    return {d.lineno for found in decorators for d in found if d.id in ("property", "cached_property")}


def follow(root: Path, entry: CodeType, action: Callable[[], Any]) -> Follower:
    """Return what was called below ``root`` by the function of that code while an action ran."""
    follower = Follower(f"{root}/", entry)
    threading.setprofile(follower)
    sys.setprofile(follower)
    try:
        action()
    except SystemExit:
        pass  # how a job ends
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return follower


def import_edges(root: Path, under: str) -> set[tuple[str, str]]:
    """Return which files below a folder import which others of it."""
    files = {_module(root, path): path for path in sorted((root / under).rglob("*.py"))}
    edges = set()
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                named = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
                edges |= {(module, name) for name in named if name in files and files[name].name != "__init__.py"}
    return edges


def _call(function: Callable[..., Any], path: Path) -> Callable[[], Any]:
    model = importlib.import_module("runner.graph.model_file").load_model(path).graph
    if "limits" not in inspect.signature(function).parameters:
        return lambda: function(model)
    limits = importlib.import_module("runner.targets.ascend.limits").ASCEND
    return lambda: function(model, limits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow a function and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entry", metavar="MODULE:FUNCTION")
    parser.add_argument("--model", type=Path, metavar="ONNX")
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--under", default="runner/")
    parser.add_argument("--steps", action="store_true", help="list the files as they are read")
    given = list(sys.argv[1:] if arguments is None else arguments)
    # What stands behind -- are the job's options, of which argparse need know nothing.
    border = given.index("--") if "--" in given else len(given)
    chosen = parser.parse_args(given[:border])
    root = chosen.tree.resolve()
    sys.path.insert(0, str(root))
    module, name = chosen.entry.split(":")
    function = getattr(importlib.import_module(module), name)
    sys.argv = ["runner", *given[border + 1 :]]
    followed = follow(
        root,
        function.__code__,
        _call(function, chosen.model) if chosen.model else lambda: runpy.run_module("runner", run_name="__main__"),
    )
    for under in dict.fromkeys(("runner/", chosen.under)):
        read, run = (followed.walk(once=once, under=under) for once in (True, False))
        print(f"{under}: {read.rooms} rooms; returns: {read.returns} read, {run.returns} run")
    if chosen.under != "runner/":
        lines = [len(p.read_text(encoding="utf-8").splitlines()) for p in (root / chosen.under).rglob("*.py")]
        edges = import_edges(root, chosen.under)
        print(f"{chosen.under}: {len(lines)} files, {sum(lines)} lines, {len(edges)} imports between them")
    if chosen.steps:
        print(*followed.walk(once=True, under=chosen.under).files, sep="\n")
    return 0


def _module(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


if __name__ == "__main__":
    sys.exit(main())
