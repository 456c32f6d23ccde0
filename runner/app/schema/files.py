"""The shipped configuration files: the options of each group, and what their comments say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from runner.app.checking import MISSING
from runner.app.places import shipped
from runner.app.schema.comments import comments, heading
from runner.class_path import class_at

_JOB_FILES = ("mode/{mode}", "config", "quant/amct", "tune")


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a group, which is a file.

    Attributes:
        group: its folder, such as ``dataset/preprocess``.
        name: as it is chosen.
        meaning: what the file says of itself.
        made: the class that it names, if any.
        values: what the file sets.
        said: key -> its comment.
    """

    group: str
    name: str
    meaning: str
    made: type | None
    values: Mapping[str, Any]
    said: Mapping[str, str]


@cache
def choices(group: str) -> tuple[Choice, ...]:
    """Return the options of a group, those that ask for a value first; none where there is no such group."""
    folder = Path(shipped("conf"), group)
    found = [_choice(group, path) for path in folder.glob("*.yaml")]
    return tuple(sorted(found, key=lambda one: (MISSING not in one.values.values(), one.name)))


@cache
def groups() -> tuple[str, ...]:
    """Return the groups, by name."""
    root = Path(shipped("conf"))
    return tuple(sorted({path.parent.relative_to(root).as_posix() for path in root.rglob("*.yaml")} - {"."}))


def is_choice(of: object) -> bool:
    """Return whether a class is one that an option of a group names."""
    return any(choice.made is of for group in groups() for choice in choices(group))


def meanings_of_jobs(mode: str) -> dict[str, str]:
    """Return dotted key -> what the files that every job of a mode is made of say of it."""
    found: dict[str, str] = {}
    for name in _JOB_FILES:
        for key, said in comments(_text(name.format(mode=mode))).items():
            found.setdefault(key, said)
    return found


def meanings_of_choices(group: str) -> dict[str, str]:
    """Return key -> what a group's files say of it: first those that ask for a value, then the default, then who says most."""
    usual = _defaults().get(group)
    order = sorted(
        choices(group), key=lambda one: (MISSING not in one.values.values(), one.name != usual, -len(one.said))
    )
    found: dict[str, str] = {}
    for choice in order:
        for key, said in choice.said.items():
            found.setdefault(key, said)
    return found


@cache
def _defaults() -> dict[str, str]:
    """Return group -> the option that jobs have, where the files of a job name one."""
    lists = [yaml.safe_load(_text(name)).get("defaults", []) for name in ("config", "mode/acc_auto", "quant/amct")]
    entries = [entry for some in lists for entry in some if isinstance(entry, dict)]
    return {str(group).lstrip("/"): str(option) for entry in entries for group, option in entry.items()}


def _text(name: str) -> str:
    return Path(shipped("conf"), f"{name}.yaml").read_text(encoding="utf-8")


def _choice(group: str, path: Path) -> Choice:
    text = path.read_text(encoding="utf-8")
    values = yaml.safe_load(text) or {}
    target = values.get("_target_")
    made = None if target is None else cast("type", class_at(target, f"{group}={path.stem}"))
    return Choice(group, path.stem, heading(text), made, values, comments(text))
