"""Tables of keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_origin

from docs.handbook.markdown import code, table, words
from docs.handbook.units import NO_UNIT, unit
from docs.handbook.values import default, kind
from runner.app.schema.docstrings import parameters
from runner.app.schema.keys import Key, chosen
from runner.app.schema.signatures import fields_of, is_section, options_of

HEADS = ("key", "takes", "default", "meaning")
MODES = ("acc_auto", "convert_qat")


def key_table(keys: Iterable[Key]) -> str:
    """Return a table of keys."""
    return table(HEADS, map(_row, keys))


def takes_a_number(hint: Any) -> bool:  # noqa: ANN401 - an annotation
    """Return whether a key may hold a number, so that it has a unit."""
    return any(
        option in (int, float) or (get_origin(option) in (list, tuple, dict) and takes_a_number(get_args(option)[-1]))
        for option in options_of(hint)
    )


def entries_of(key: Key) -> list[Key]:
    """Return the keys of a list's entries, where they are sections of their own."""
    kinds = [get_args(option)[0] for option in options_of(key.hint) if get_origin(option) is list]
    return [
        Key(f"{key.path}.{field.name}", field.hint, field.default, parameters(of).get(field.name, ""), key.modes)
        for of in kinds
        if is_section(of)
        for field in fields_of(of)
    ]


def _row(key: Key) -> tuple[str, ...]:
    usual = {} if key.path == "mode" else chosen(key.modes[0])
    only = "" if key.modes == MODES else f" *{', '.join(key.modes)} only*"
    measured = unit(key.path) if takes_a_number(key.hint) else None
    takes = ", ".join(map(code, MODES)) if key.path == "mode" else kind(key.hint)
    if measured not in (None, NO_UNIT):
        takes += f" ({measured})"
    return (code(key.path), takes, default(key, usual), words(key.meaning) + only)
