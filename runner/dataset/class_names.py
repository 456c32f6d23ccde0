"""What classes are called: a list, a text file with one a line, or the ``names`` of ultralytics' data.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from runner.errors import DatasetError
from runner.printable import shown

_YAML = (".yaml", ".yml")


def read_class_names(names: str | list[str] | None, *, key: str = "dataset.names") -> tuple[str, ...]:
    """Return classes' names, class 0 first; none where they are not given.

    Args:
        names: a list; a file: ``.yaml`` or ``.yml`` with ``names`` as a list or as a mapping from numbers, any other with a
            name a line; or None.
        key: the option that gives them, for messages.

    Raises:
        DatasetError: the file is missing or unreadable, holds no names, or leaves a number out.
    """
    if names is None:
        return ()
    if isinstance(names, list):
        return _checked(names, f"{key}: the list")
    path = Path(names)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{key}: {shown(path)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{key}: {shown(path)} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    if path.suffix.lower() in _YAML:
        return _checked(_from_yaml(text, path, key), f"{key}: {shown(path)}")
    return _checked([line.strip() for line in text.rstrip().splitlines()], f"{key}: {shown(path)}")


def _from_yaml(text: str, path: Path, key: str) -> list[Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DatasetError(f"{key}: {shown(path)} is no YAML: {' '.join(str(error).split())}.") from error
    names = content.get("names") if isinstance(content, Mapping) else None
    if isinstance(names, Mapping):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            listed = ", ".join(map(str, list(names)[:5]))
            raise DatasetError(
                f"{key}: {shown(path)}: expected 'names' to number the classes 0 to {len(names) - 1}, got {listed} …."
            )
        return [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise DatasetError(
            f"{key}: {shown(path)}: expected 'names', a list or a mapping from class numbers, as ultralytics' data.yaml has "
            f"it; got {'none' if names is None else type(names).__name__}."
        )
    return names


def _checked(names: list[Any], where: str) -> tuple[str, ...]:
    # YAML reads a class called 7, or no, as another type.
    if any(isinstance(name, list | Mapping) or name is None for name in names):
        raise DatasetError(
            f"{where}: expected the classes' names, class 0 first, got lists, mappings or nothing among them."
        )
    found = tuple(str(name).strip() for name in names)
    if not found or not all(found):
        got = f"a blank one, number {found.index('')}" if found else "none"
        raise DatasetError(f"{where}: expected the classes' names, class 0 first, got {got}.")
    return found
