"""Damage to what a JSON or YAML text holds: the text stays readable, what it says does not fit."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import yaml

from benchmarks.fuzz.damage import word

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 2**31, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *("", "x", [], {}, [[]], [None], {"": None}, [0] * 1000, "x" * 5000, {"a": {"b": {"c": []}}}),
)


def json_tree(rng: random.Random, data: bytes) -> bytes:
    """Change values, keys and lists of a JSON text."""
    return json.dumps(_changed(rng, json.loads(data))).encode()


def json_lines(rng: random.Random, data: bytes) -> bytes:
    """Change one line of a text of JSON lines."""
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json_tree(rng, lines[at])
    return b"\n".join(lines)


def yaml_tree(rng: random.Random, data: bytes) -> bytes:
    """Change values, keys and lists of a YAML text; a comment at its head, which Hydra reads, stays."""
    text: str = yaml.safe_dump(_changed(rng, yaml.safe_load(data)))
    head = b"".join(line for line in data.splitlines(keepends=True) if line.startswith(b"#"))
    return head + text.encode()


def _changed(rng: random.Random, root: Any) -> Any:  # noqa: ANN401 - what JSON holds
    held = [copy.deepcopy(root)]
    for _ in range(rng.randint(1, 3)):
        holder, key = rng.choice(list(_places(held)))
        other_holder, other_key = rng.choice(list(_places(held)))
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1:
                holder[key] = copy.deepcopy(other_holder[other_key])
            case 2 if isinstance(holder, dict):
                holder[word(rng)] = holder.pop(key)
            case 3 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case _:
                holder[key] = copy.deepcopy(rng.choice([*_VALUES, word(rng)]))
        if not held:
            return rng.choice(_VALUES)
    return held[0]


def _places(holder: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Yield every place of a tree as its holder and the key in it."""
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)
