"""What the program imports and what it asks an installer for are the same."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import runner
from runner.app.sweep.launchers import EXTRAS as LAUNCHERS

SOURCES = Path(runner.__file__).parent
# Distributions that are not called like their module.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "faster_coco_eval": "faster-coco-eval",
    "google.protobuf": "protobuf",
    "hydra": "hydra-core",
    "onnx_ir": "onnx-ir",
    "yaml": "pyyaml",
}


def imported(source: str) -> Iterator[str]:
    """Yield the modules of other packages that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] not in sys.stdlib_module_names | {"runner"})


def distribution(module: str) -> str:
    """Return what is installed to have a module."""
    for length in (2, 1):
        start = ".".join(module.split(".")[:length])
        if start in DISTRIBUTIONS:
            return DISTRIBUTIONS[start]
    return module.split(".")[0]


# Extra -> the package that imports what it brings, late.
EXTRAS = {"ray": "distributed/", "tune": "tune/"}


def declared(root: Path, extra: str | None = None) -> dict[str, str]:
    """Return distribution -> its bounds, of all or of an extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    parsed = [re.fullmatch(r"([\w-]+)(.*)", line) for line in lines]
    # A launcher is found by Hydra, never imported.
    return {match[1]: match[2] for match in parsed if match is not None and not match[1].endswith("-launcher")}


def used() -> dict[str, set[str]]:
    """Return distribution -> the files that import it."""
    found: dict[str, set[str]] = {}
    for path in SOURCES.rglob("*.py"):
        for module in imported(path.read_text(encoding="utf-8")):
            found.setdefault(distribution(module), set()).add(path.relative_to(SOURCES).as_posix())
    return found


def test_every_import_is_a_declared_dependency_and_the_other_way_round(root: Path) -> None:
    optional = {name: folder for extra, folder in EXTRAS.items() for name in declared(root, extra)}
    undeclared = {name: files for name, files in used().items() if name not in declared(root) and name not in optional}
    assert undeclared == {}
    assert sorted(used()) == sorted({*declared(root), *optional})


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_what_an_extra_brings_is_imported_by_its_package_alone_and_only_when_needed(root: Path, extra: str) -> None:
    for name in declared(root, extra):
        files = used()[name]
        assert all(file.startswith(EXTRAS[extra]) for file in files)
        for file in files:
            tree = ast.parse((SOURCES / file).read_text(encoding="utf-8"))
            at_once = "\n".join(
                ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
            )
            assert name not in map(distribution, imported(at_once))


@pytest.mark.parametrize(("launcher", "extra"), LAUNCHERS.items())
def test_extra_that_a_launcher_is_said_to_come_with_brings_it(root: Path, launcher: str, extra: str) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plugin = f"hydra-{launcher.partition('_')[0]}-launcher"
    assert any(line.startswith(f"{plugin}>=") for line in project["optional-dependencies"][extra])


def test_distributions_are_those_that_the_modules_come_from() -> None:
    homes = metadata.packages_distributions()
    for module, name in DISTRIBUTIONS.items():
        assert name in [home.lower() for home in homes[module.split(".")[0]]]


def test_every_dependency_has_a_lower_bound_that_is_installed_or_passed(root: Path) -> None:
    for name, bounds in declared(root).items():
        lowest = re.match(r">=([\d.]+)", bounds)
        assert lowest is not None, name
        wanted, there = (
            [int(part) for part in re.findall(r"\d+", version)] for version in (lowest[1], metadata.version(name))
        )
        assert there >= wanted, name


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import os, numpy.linalg as n\n", ["numpy.linalg"]),
        (
            "from google.protobuf import message\ndef f():\n    from PIL import Image\n",
            ["google.protobuf.message", "PIL.Image"],
        ),
        ("from runner.graph import layers\nimport runner\nfrom __future__ import annotations\n", []),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, modules: list[str]) -> None:
    assert list(imported(source)) == modules
