"""Values as the command line has them, so that a choice may be a word, a number, a list or nothing at all."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What Hydra's grammar reads back as the same text.
_PLAIN = re.compile(r"[A-Za-z_][\w.@+-]*")
_OTHERWISE = re.compile(r"(?i)(null|true|false|inf|nan)")


def override_text(value: object) -> str:
    """Return a value as it stands behind ``KEY=`` in an override of Hydra's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(override_text, value)) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and not _OTHERWISE.fullmatch(text):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", text)) + "'"


def number_text(value: float) -> str:
    """Return a number with as many digits as tell it from its neighbours; a whole one keeps its point."""
    return repr(float(value))
