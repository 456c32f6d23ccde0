"""How much a command says: a short verdict, everything, the verdict alone, or lines of JSON for a program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Loudness = Literal["short", "full", "quiet", "json"]
# Key of the configuration -> what it asks for. The last that is set wins, until two of them are refused.
KEYS: Mapping[str, Loudness] = {"verbose": "full", "quiet": "quiet", "json": "json"}


def loudness_of(config: Mapping[str, Any]) -> Loudness:
    """Return what a configuration asks for; what is no boolean asks for nothing, and is refused with the other options."""
    asked = [how for key, how in KEYS.items() if config.get(key) is True]
    return asked[-1] if asked else "short"


def asks_for(key: str, arguments: Iterable[str]) -> bool:
    """Return whether a command line sets one of the keys, as Hydra reads it: errors come before there is a configuration."""
    asked = re.compile(rf"\+{{0,2}}{key}=true", re.IGNORECASE)
    return any(asked.fullmatch(argument) is not None for argument in arguments)
