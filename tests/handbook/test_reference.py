"""The generated reference: nothing is missing from it, and it is in step with the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.handbook.generated import GENERATED
from docs.handbook.key_rows import entries_of, takes_a_number
from docs.handbook.status_page import STATUSES
from docs.handbook.units import _UNITS, unit
from runner.app.schema.files import choices, groups
from runner.app.schema.keys import Key, composed, job_keys, keys_of_choice
from tests.command import ROOT

JOB = job_keys()
OF_GROUPS = [key for group in groups() for choice in choices(group) for key in keys_of_choice(choice)]
EVERY = [*JOB, *(entry for key in JOB for entry in entries_of(key)), *OF_GROUPS]
PAGES = ROOT / "docs" / "reference"
# Where a status of a process is named.
STATUS_MODULES = ("app/leaving.py", "app/sweep/outcome.py", "app/check_deploy.py", "app/compare_dump.py")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_file_is_in_step(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name](), "run: python -m docs.handbook write"


def test_every_key_says_what_it_means() -> None:
    assert [key.path for key in EVERY if not key.meaning] == [], "say it behind the key in conf/, or in the docstring"


def test_every_option_of_a_group_says_what_it_is() -> None:
    assert [(one.group, one.name) for group in groups() for one in choices(group) if not one.meaning] == []


def test_every_number_has_a_unit_and_every_unit_a_number() -> None:
    numbers = [key.path for key in EVERY if takes_a_number(key.hint)]
    assert [path for path in numbers if unit(path) is None] == []
    from fnmatch import fnmatchcase

    assert [pattern for pattern in _UNITS if not any(fnmatchcase(path, pattern) for path in numbers)] == []


def leaves(config: object, above: str) -> Iterator[str]:
    if isinstance(config, dict) and config and "_target_" not in config:
        for key, value in config.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    else:
        yield above


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
def test_every_key_that_a_job_is_composed_of_stands_in_the_reference(mode: str) -> None:
    page = (PAGES / "configuration.md").read_text(encoding="utf-8")
    parts = {"dataset", "calibration.dataset"}
    assert [key for key in leaves(composed(mode), "") if f"| `{key}` |" not in page and key not in parts] == []


@pytest.mark.parametrize("group", groups())
def test_every_option_stands_in_the_reference_with_its_keys(group: str) -> None:
    page = (PAGES / "groups.md").read_text(encoding="utf-8")
    section = page.partition(f"{group}`\n")[2]
    for choice in choices(group):
        assert f"| `{choice.name}` |" in section
        keys: list[Key] = keys_of_choice(choice)
        assert [key.path for key in keys if f"| `{key.path}` |" not in section] == []


def test_every_exit_status_is_told() -> None:
    named: set[int] = set()
    for module in STATUS_MODULES:
        for node in ast.parse(Path(ROOT, "runner", module).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign):
                names = [one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)]
                values = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
                named |= {value for value in values if isinstance(value, int) and not names[0].startswith("_")}
    assert named == set(STATUSES)
