"""A quantized model's scores of a few items at a time, kept so that no item is scored twice, whichever trial wanted it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from runner.evaluation.score_stages import SOME_SCORES, ItemScoresInputs
from runner.evaluation.scorer import Progress, Scorer
from runner.evaluation.scores import EVALUATION, ITEM_SCORES, ItemScores, by_item
from runner.store.stage import cached, kept
from runner.store.store import Store


class KeptScores:
    """Scores of one model by position; the model is built once, and not where every score is remembered.

    Args:
        scorer: scores items.
        build: gives the model.
        progress: told how many items were asked for so far.
        store: keeps the scores of each call's positions as one entry; None keeps nothing.
        key: of the model's scores over all items, which are looked up first; None where nothing must be kept.
    """

    def __init__(
        self,
        scorer: Scorer,
        build: Callable[[], ir.Model],
        progress: Progress,
        store: Store | None = None,
        key: str | None = None,
    ) -> None:
        self._scorer, self._progress, self._store, self._key = scorer, progress, store, key
        self._session = functools.cache(lambda: scorer.session(build()))
        self._done = 0
        whole = kept(store, key, EVALUATION)
        self._whole = None if whole is None else by_item(whole)

    def of(self, positions: Sequence[int]) -> Mapping[int, ItemScores]:
        """Return the scores at some positions of the scorer's items, in their order."""
        if self._whole is not None:
            found: Mapping[int, ItemScores] = {position: self._whole[position] for position in positions}
        else:
            key = None if self._key is None else SOME_SCORES.key(ItemScoresInputs(self._key, tuple(positions)))
            found = cached(self._store, key, lambda: self._scored(positions), ITEM_SCORES)
        self._done += len(positions)
        self._progress(self._done)
        return found

    def _scored(self, positions: Sequence[int]) -> Mapping[int, ItemScores]:
        found = dict[int, ItemScores]()
        with contextlib.closing(self._scorer.scores(self._session(), positions)) as scores:
            for position, score in zip(positions, scores, strict=True):
                found[position] = score
                self._progress(self._done + len(found))
        return found
