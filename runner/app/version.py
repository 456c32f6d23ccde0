"""``--version`` of every command: which program this is and what it runs on, in one line. Nothing is loaded for it."""

from __future__ import annotations

import argparse
import platform
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_NAME = "onnx-quant-runner"
# What a bug report has to name first.
_BESIDE = ("onnxruntime", "onnx")
_FLAG = "--version"


def asks_for_version(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for the version, in full or by a beginning that means no other flag."""
    return any(len(given) > len("--") and _FLAG.startswith(given) for given in arguments)


def print_version() -> int:
    """Print the line and return the exit status."""
    print(version_line())
    return 0


def version_line() -> str:
    """Return name and version of this program, and the versions of onnxruntime, onnx and Python."""
    beside = [f"{name} {_installed(name) or 'not installed'}" for name in _BESIDE]
    return f"{_NAME} {_installed(_NAME) or _of_checkout()} ({', '.join(beside)}, Python {platform.python_version()})"


class VersionFlag(argparse.Action):
    """``--version`` of an argument parser; the line is made only where it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str = argparse.SUPPRESS, **given: Any) -> None:  # noqa: ANN401 - argparse's signature
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="print the version and stop")

    def __call__(self, *arguments: object, **given: object) -> None:
        """Print the line and leave."""
        sys.exit(print_version())


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _of_checkout() -> str:
    """Return the version that a checkout is of, where the package is not installed."""
    try:
        text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "of an unknown version"
