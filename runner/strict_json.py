"""JSON read strictly: a repeated key, a number that JSON does not know, or text after the end is an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.errors import RecordError

_LARGEST = sys.float_info.max


def read_text(path: Path, what: str) -> str:
    """Return a file's UTF-8 text.

    Args:
        path: of the file.
        what: the option or kind of file, for the message.

    Raises:
        RecordError: it is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{what}: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{what}: {path} cannot be read: it is not UTF-8 text.") from error


def parse_object(text: str, name: str) -> dict[str, Any]:
    """Return the one object that a text holds, keys in the text's order.

    Raises:
        RecordError: the text is empty, broken, holds a key twice, or is no object.
    """
    values = list(_values(text, 0, name, "a JSON object"))
    if len(values) != 1 or not isinstance(values[0][1], dict):
        got = "nothing" if not values else f"{len(values)} values" if len(values) > 1 else _shown(values[0][1])
        raise RecordError(f"{name}: expected one JSON object, got {got}.")
    value: dict[str, Any] = values[0][1]
    return value


def parse_items(text: str, name: str, expected: str) -> list[tuple[int, Any]]:
    """Return (line, value) of each item of a text: of its list, or of values written one after the other.

    Args:
        text: JSON.
        name: of the file, for messages.
        expected: what an item is, for messages.

    Raises:
        RecordError: the text is broken or holds a key twice; names the line.
    """
    items: list[tuple[int, Any]] = []
    for start, value in _values(text, 0, name, expected):
        if isinstance(value, list):
            items += [(_line(text, inner), item) for inner, item in _inside(text, start, name, expected)]
        else:
            items.append((_line(text, start), value))
    return items


def is_number(value: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Return whether a value is a number that a float can hold; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _values(text: str, position: int, name: str, expected: str) -> Iterator[tuple[int, Any]]:
    """Yield (start, value) of values written one after the other."""
    decoder = _decoder(name)
    while (position := _skip_space(text, position)) < len(text):
        start = position
        value, position = _decode(decoder, text, position, name, expected)
        yield start, value


def _inside(text: str, start: int, name: str, expected: str) -> Iterator[tuple[int, Any]]:
    """Yield (start, value) of the items of the well-formed list that starts at ``start``."""
    decoder = _decoder(name)
    position = _skip_space(text, start + 1)
    while text[position] != "]":
        value, end = _decode(decoder, text, position, name, expected)
        yield position, value
        position = _skip_space(text, end)
        if text[position] == ",":
            position = _skip_space(text, position + 1)


def _decode(decoder: json.JSONDecoder, text: str, position: int, name: str, expected: str) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise RecordError(f"{name}:{error.lineno}: expected {expected}, got: {error.msg}.") from error
    except RecursionError as error:
        line = _line(text, position)
        raise RecordError(f"{name}:{line}: expected {expected}, got lists or objects nested too deeply.") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise RecordError(f"{name}:{_line(text, position)}: expected {expected}, got: {error}.") from error


def _decoder(name: str) -> json.JSONDecoder:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            listed = ", ".join(f"'{key}'" for key in repeated)
            raise RecordError(f"{name}: Please delete repeated items in {name}: {listed}.")
        return dict(pairs)

    def refuse(constant: str) -> Any:  # noqa: ANN401
        raise RecordError(f"{name}: expected finite numbers, got {constant}, which JSON does not know.")

    return json.JSONDecoder(object_pairs_hook=once, parse_constant=refuse)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _shown(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False)[:80]
