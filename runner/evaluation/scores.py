"""A model's scores, item by item or of all items together, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.metric import Scores
from runner.store.stage import Codec
from runner.store.store import Entry

# Beside the metrics' names in an item's scores; no metric is called so.
ANSWER = "(answer)"
LEAD = "(lead)"
DIGEST = "(digest)"
# Behind the name of a metric whose items have more numbers or fewer.
_LENGTHS = " (lengths)"

# An item's numbers under each metric, as many as that gives for it; of a classifier also ANSWER, under a headline metric that
# counts hits also LEAD, of a quantized model also DIGEST.
ItemScores = Mapping[str, tuple[float, ...] | NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model's scores under every metric, each as ``column`` makes them.

    Attributes:
        answers: of a classifier (class, margin), shape (items, 2): how much likelier the class is than the next; else None.
        leads: under the headline metric, where that counts hits, shape (items,); else None.
        digests: of a quantized model's outputs, shape (items, 3), see ``output_digest``; else None.
    """

    scores: Mapping[str, Scores]
    answers: NDArray[np.float64] | None = None
    leads: NDArray[np.float64] | None = None
    digests: NDArray[np.float64] | None = None


def column(rows: Sequence[Sequence[float] | NDArray[np.float64]]) -> Scores:
    """Return items' numbers as an array of shape (items, k); where items have more numbers or fewer, (items,) of arrays."""
    if len({len(row) for row in rows}) <= 1:
        return np.array(rows, np.float64)
    ragged = np.empty(len(rows), object)
    ragged[:] = [np.array(row, np.float64) for row in rows]
    return ragged


def gathered(items: Sequence[ItemScores]) -> Evaluation:
    """Return the scores of items, at least one, as one evaluation, in the order given."""
    columns = {name: column([scores[name] for scores in items]) for name in items[0]}
    answers, leads, digests = (columns.pop(name, None) for name in (ANSWER, LEAD, DIGEST))
    return Evaluation(columns, answers, None if leads is None else leads[:, 0], digests)


def by_item(evaluation: Evaluation) -> list[ItemScores]:
    """Return an evaluation under one metric or more as the scores of each item; ``gathered`` the other way round."""
    leads = None if evaluation.leads is None else evaluation.leads[:, np.newaxis]
    beside = {ANSWER: evaluation.answers, LEAD: leads, DIGEST: evaluation.digests}
    columns = {name: array for name, array in {**evaluation.scores, **beside}.items() if array is not None}
    return [
        {name: tuple(row.tolist()) for name, row in zip(columns, rows, strict=True)}
        for rows in zip(*columns.values(), strict=True)
    ]


def _encode(evaluation: Evaluation) -> Entry:
    beside = {ANSWER: evaluation.answers, LEAD: evaluation.leads, DIGEST: evaluation.digests}
    known = {name: array for name, array in beside.items() if array is not None}
    columns = {key: array for name, scores in evaluation.scores.items() for key, array in _flat(name, scores).items()}
    return Entry(list(evaluation.scores), {**columns, **known})


def _decode(entry: Entry) -> Evaluation:
    scores = {name: _column(name, entry.arrays) for name in entry.values}
    return Evaluation(scores, *map(entry.arrays.get, (ANSWER, LEAD, DIGEST)))


def _flat(name: str, scores: Scores) -> dict[str, NDArray[Any]]:
    """Return the arrays of numbers that scores are kept as: one, or all numbers and how many of them each item has."""
    if scores.dtype != object:
        return {name: scores}
    return {name: np.concatenate(list(scores)), f"{name}{_LENGTHS}": np.array([len(row) for row in scores], np.int64)}


def _column(name: str, arrays: Mapping[str, NDArray[Any]]) -> Scores:
    lengths = arrays.get(f"{name}{_LENGTHS}")
    if lengths is None:
        return arrays[name]
    return column(np.split(arrays[name], np.cumsum(lengths)[:-1]))


EVALUATION: Codec[Evaluation] = Codec(_encode, _decode)


def _encode_items(items: Mapping[int, ItemScores]) -> Entry:
    names = list(next(iter(items.values()), {}))
    columns = [_flat(name, column([scores[name] for scores in items.values()])) for name in names]
    return Entry(
        {"names": names, "positions": list(items)}, {key: array for each in columns for key, array in each.items()}
    )


def _decode_items(entry: Entry) -> dict[int, ItemScores]:
    columns = {name: _column(name, entry.arrays) for name in entry.values["names"]}
    return {
        int(position): {name: tuple(rows[row].tolist()) for name, rows in columns.items()}
        for row, position in enumerate(entry.values["positions"])
    }


ITEM_SCORES: Codec[Mapping[int, ItemScores]] = Codec(_encode_items, _decode_items)
