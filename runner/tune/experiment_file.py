"""A trial's whole setting as an experiment of Hydra's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override


def experiment_file(overrides: Sequence[str], choices: Mapping[str, Any], head: Sequence[str]) -> tuple[str, list[str]]:
    """Return the file, and the overrides that it cannot say (what is taken away with ``~``, and Hydra's own).

    Args:
        overrides: of the command line, later ones win.
        choices: the option chosen in each configuration group, which tells groups from keys.
        head: lines of comment.
    """
    chosen: list[Any] = []
    added: list[Any] = []
    values: dict[str, Any] = {}
    left: list[str] = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if override.is_delete() or key.startswith("hydra"):
            left.append(override.input_line or "")
        elif key in choices and override.package is None and not override.is_force_add():
            (added if override.is_add() else chosen).append(_group(override))
        else:
            _put(values, key.split("."), override.value())
    defaults = [*added, "_self_", *chosen]
    text = yaml.safe_dump(
        {"defaults": defaults, **values}, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return "\n".join(["# @package _global_", *(f"# {line}" for line in head), text]), left


def _group(override: Override) -> dict[str, Any]:
    value = override.value()
    if override.is_add():
        return {f"/{override.key_or_group}": value}
    return {f"override /{override.key_or_group}": value}


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401
    *sections, last = path
    for name in sections:
        inner = values.setdefault(name, {})
        values = inner if isinstance(inner, dict) else {}
    values[last] = value
