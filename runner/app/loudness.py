"""How much a command says: a short verdict, everything, the verdict alone, or lines of JSON for a program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Loudness = Literal["short", "full", "quiet", "json"]
# Key of the configuration -> what it asks for. The last that is set wins, until two of them are refused.
KEYS: Mapping[str, Loudness] = {"verbose": "full", "quiet": "quiet", "json": "json"}
# As Hydra reads it.
_JSON = re.compile(r"\+{0,2}json=true", re.IGNORECASE)


def loudness_of(config: Mapping[str, Any]) -> Loudness:
    """Return what a configuration asks for; what is no boolean asks for nothing, and is refused with the other options."""
    asked = [how for key, how in KEYS.items() if config.get(key) is True]
    return asked[-1] if asked else "short"


def asks_for_json(arguments: Iterable[str]) -> bool:
    """Return whether a command line asks for lines of JSON: errors come before there is a configuration."""
    return any(_JSON.fullmatch(argument) is not None for argument in arguments)
