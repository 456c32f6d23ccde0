"""A model's scores, item by item or of all items together, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.metric import Scores
from runner.store.stage import Codec
from runner.store.store import Entry

# Beside the metrics' names in an item's scores; no metric is called so.
ANSWER = "(answer)"
LEAD = "(lead)"

# An item's numbers under each metric; of a classifier also ANSWER, under a headline metric that counts hits also LEAD.
ItemScores = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A model's scores under every metric, each of shape (items, k).

    Attributes:
        answers: of a classifier (class, margin), shape (items, 2): how much likelier the class is than the next; else None.
        leads: under the headline metric, where that counts hits, shape (items,); else None.
    """

    scores: Mapping[str, Scores]
    answers: NDArray[np.float64] | None = None
    leads: NDArray[np.float64] | None = None


def gathered(items: Sequence[ItemScores]) -> Evaluation:
    """Return the scores of items, at least one, as one evaluation, in the order given."""
    columns = {name: np.array([scores[name] for scores in items], np.float64) for name in items[0]}
    answers, leads = columns.pop(ANSWER, None), columns.pop(LEAD, None)
    return Evaluation(columns, answers, None if leads is None else leads[:, 0])


def by_item(evaluation: Evaluation) -> list[ItemScores]:
    """Return an evaluation under one metric or more as the scores of each item; ``gathered`` the other way round."""
    beside = {ANSWER: evaluation.answers, LEAD: None if evaluation.leads is None else evaluation.leads[:, np.newaxis]}
    columns = {name: array.tolist() for name, array in {**evaluation.scores, **beside}.items() if array is not None}
    return [dict(zip(columns, map(tuple, numbers), strict=True)) for numbers in zip(*columns.values(), strict=True)]


def _encode(evaluation: Evaluation) -> Entry:
    beside = {ANSWER: evaluation.answers, LEAD: evaluation.leads}
    known = {name: array for name, array in beside.items() if array is not None}
    return Entry(list(evaluation.scores), {**evaluation.scores, **known})


def _decode(entry: Entry) -> Evaluation:
    scores = {name: entry.arrays[name] for name in entry.values}
    return Evaluation(scores, entry.arrays.get(ANSWER), entry.arrays.get(LEAD))


EVALUATION: Codec[Evaluation] = Codec(_encode, _decode)


def _encode_items(items: Mapping[int, ItemScores]) -> Entry:
    names = list(next(iter(items.values()), {}))
    columns = {name: np.array([scores[name] for scores in items.values()], np.float64) for name in names}
    return Entry({"names": names, "positions": list(items)}, columns)


def _decode_items(entry: Entry) -> dict[int, ItemScores]:
    columns = {name: entry.arrays[name].tolist() for name in entry.values["names"]}
    return {
        int(position): {name: tuple(rows[row]) for name, rows in columns.items()}
        for row, position in enumerate(entry.values["positions"])
    }


ITEM_SCORES: Codec[Mapping[int, ItemScores]] = Codec(_encode_items, _decode_items)
