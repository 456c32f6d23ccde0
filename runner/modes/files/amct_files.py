"""AMCT's files of a search: ranking and history, read and written.

Written with an indent of 4 and no space after the colon, as AMCT does. The history is one valid JSON list; AMCT concatenates
its objects, and the reader takes both. The readers are strict: file, line, expected, got.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.errors import RecordError
from runner.search.plan import Plan, Ranking, Trial
from runner.strict_json import is_number, parse_items, read_text

_HISTORY_KEYS = ("roll_back_config", "metric_eval")


def ranking_entries(ranking: Ranking) -> list[list[str | float]]:
    """Return the ranking file's content: ``[layer, value]``, most sensitive first."""
    return [[name, value] for name, value in ranking.entries]


def history_entries(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the history file's content, an object a trial; true means quantized."""
    return [
        {"roll_back_config": roll_back_config(trial.plan), "metric_eval": [trial.accepted, trial.loss]}
        for trial in trials
    ]


def roll_back_config(plan: Plan) -> dict[str, bool]:
    """Return AMCT's form of a plan: layer -> stays quantized."""
    fallback = set(plan.fallback)
    return {name: name not in fallback for name, _ in plan.treatments}


def read_history(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a history file, ours (one list) or AMCT's (objects one after the other).

    Raises:
        RecordError: the file is missing, or an object breaks the format; names the line.
    """
    entries = parse_items(read_text(path, "history"), str(path), "a JSON object of the search history")
    for line, entry in entries:
        _check_history_entry(f"{path}:{line}", entry)
    return [entry for _, entry in entries]


def read_ranking(path: Path) -> Ranking:
    """Return the ranking of a file, ours or AMCT's, in the file's order.

    Raises:
        RecordError: the file is missing, or an entry breaks the format; names the line.
    """
    text, expected = read_text(path, "ranking"), "a list of [layer, sensitivity]"
    if not text.lstrip().startswith("["):
        raise RecordError(f"{path}:1: expected {expected}, got {_shown(text.strip())}.")
    entries: dict[str, float] = {}
    for line, entry in parse_items(text, str(path), expected):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) or not is_number(entry[1]):
            raise RecordError(f"{path}:{line}: expected [layer, sensitivity], got {_shown(entry)}.")
        if entry[0] in entries:
            raise RecordError(f"{path}:{line}: layer '{entry[0]}' is ranked twice; expected one entry a layer.")
        entries[entry[0]] = float(entry[1])
    return Ranking(tuple(entries.items()))


def _check_history_entry(where: str, entry: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(entry, dict) or set(entry) != set(_HISTORY_KEYS):
        raise RecordError(f"{where}: expected an object of {' and '.join(_HISTORY_KEYS)}, got {_shown(entry)}.")
    plan, verdict = entry["roll_back_config"], entry["metric_eval"]
    if not isinstance(plan, dict) or not all(isinstance(stays, bool) for stays in plan.values()):
        raise RecordError(f"{where}: roll_back_config: expected true or false for each layer, got {_shown(plan)}.")
    if (
        not isinstance(verdict, list)
        or len(verdict) != 2
        or not isinstance(verdict[0], bool)
        or not is_number(verdict[1])
    ):
        raise RecordError(f"{where}: metric_eval: expected [true or false, loss], got {_shown(verdict)}.")


def _shown(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False)[:80]
