"""What an installer, a container builder and a public CI are told is true of this checkout."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ["3.11", "3.12", "3.13"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
# Keep a Changelog 1.1.0.
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_pythons_are_the_same_wherever_they_are_named() -> None:
    project = PROJECT["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    named = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in project["classifiers"]]
    assert [one[1] for one in named if one is not None] == PYTHONS
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == PYTHONS


def test_classifiers_are_those_that_an_index_knows() -> None:
    known = pytest.importorskip("trove_classifiers", reason="needs the package trove-classifiers").classifiers
    assert set(PROJECT["project"]["classifiers"]) <= known


def test_public_ci_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    runs = [step["run"] for step in workflow["jobs"]["linux"]["steps"] if "run" in step]
    assert runs == ["PYTHON=python .ci/run"]
    assert workflow["permissions"] == {"contents": "read"}
    paths = re.findall(r"tests/[\w/.]+", str(workflow["jobs"]["elsewhere"]["steps"]))
    assert paths and all((ROOT / path).exists() for path in paths)


def test_package_is_marked_as_typed_and_holds_what_it_is_said_to() -> None:
    assert (ROOT / "runner" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, place in wheel["force-include"].items():
        assert (ROOT / source).exists() and place.startswith("runner/")


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines if "--from" not in line for name in line.split()[:-1]]


def test_dockerfile_copies_what_the_package_is_built_from() -> None:
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "runner"}
    sources = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])
    for name in [*needed, *sources]:
        assert any(Path(name) == Path(one) or Path(one) in Path(name).parents for one in copied()), name


@pytest.mark.parametrize("name", copied())
def test_what_dockerfile_copies_exists_and_is_sent_to_the_builder(name: str) -> None:
    assert (ROOT / name).exists()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = False
    for line in (line for line in lines if line and not line.startswith("#")):
        if fnmatchcase(name, line.removeprefix("!")):
            sent = line.startswith("!")
    assert sent


def test_container_runs_as_a_plain_user_where_results_are_kept() -> None:
    stage = DOCKERFILE.split("\nFROM ")[-1]
    assert re.search(r"^USER (?!root|0\b)", stage, re.MULTILINE)
    (directory,) = re.findall(r"^WORKDIR (.*)$", stage, re.MULTILINE)
    assert re.findall(r"^VOLUME (.*)$", stage, re.MULTILINE) == [directory]
    (command,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', stage, re.MULTILINE)
    assert command in PROJECT["project"]["scripts"]


def test_changelog_has_its_form_and_the_version() -> None:
    heads = re.findall(r"^## \[(.*?)\](?: - (\S+))?$", CHANGES, re.MULTILINE)
    assert heads[0] == ("Unreleased", "")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for _, day in heads[1:])
    assert set(re.findall(r"^### (.*)$", CHANGES, re.MULTILINE)) <= KINDS
    assert PROJECT["project"]["version"] in CHANGES
