"""How a key's type and default are written in the reference."""

from __future__ import annotations

import types
from typing import Any, Literal, get_args, get_origin

import yaml

from docs.handbook.markdown import code
from runner.app.checking import MISSING
from runner.app.schema.files import is_choice
from runner.app.schema.keys import Key
from runner.app.schema.signatures import is_protocol, is_section, options_of

_NAMES = {int: "integer", float: "number", str: "string", bool: "`true`, `false`", types.NoneType: "`null`"}


def kind(hint: Any, between: str = ", ") -> str:  # noqa: ANN401 - an annotation
    """Return what a key takes, in words: its values where they are few, else its type."""
    return between.join(dict.fromkeys(_kind(option) for option in options_of(hint)))


def _kind(option: Any) -> str:  # noqa: ANN401
    origin, arguments = get_origin(option), get_args(option)
    if origin is Literal:
        return ", ".join(code(str(value)) for value in arguments)
    if origin in (list, tuple):
        inside = "entries" if is_section(arguments[0]) else f"{kind(arguments[0])}s"
        return f"list of {inside}"
    if origin is dict:
        return f"mapping of names to {'any value' if arguments[1] is Any else kind(arguments[1], ' or ')}"
    if option is Any:
        return "any"
    if is_protocol(option) or (isinstance(option, type) and is_choice(option)):
        return "part"
    return _NAMES.get(option, "section")


def default(key: Key, chosen: dict[str, str]) -> str:
    """Return a key's default; of a part, the option of its group."""
    if key.path in chosen:
        return code(chosen[key.path].replace("None", "null"))
    if key.default == MISSING:
        return "required"
    if isinstance(key.default, dict | list):
        return code(yaml.safe_dump(key.default, default_flow_style=True, width=10**6).strip())
    if isinstance(key.default, bool) or key.default is None:
        return code({True: "true", False: "false", None: "null"}[key.default])
    return code(str(key.default)) if key.default != "" else "`''`"
