"""The measure of embeddings with labels: whether an item's nearest others hold one of its class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Truth, class_of
from runner.errors import ConfigError
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.metric import Scores, hits_below_target
from runner.evaluation.outputs import ClassScores, Outputs
from runner.tasks.embeddings.neighbours import counted, hits


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Recall at k, leaving one out: the share of items whose k nearest others, by cosine, hold one of their class, in percent.

    Items that are alone in their class do not count. Its loss, in percentage points, is below 0 where the quantized model finds
    more. An item's row is its class and then its embedding, as float32 has it: 4 kB an item for 512 values, so 20 MB for 5000
    items and a model. An item is near or far only among the others, so there are no verdicts of single items; over resampled
    items the others stay those that there are, as an item's copy would be its nearest neighbour, and items that ask are drawn.

    Attributes:
        k: how many of the nearest count.
        output: name of the output that holds the embedding; the only one by default.
    """

    k: int = 1
    output: str | None = None
    name = "retrieval"
    unit = PERCENTAGE_POINTS
    needs_labels = True
    needs_classes = False
    needs_reference = False
    counts_items = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"metric.k: expected 1 or more, got {self.k}.")

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that is no class."""
        return "a class an item (dataset=image_folder, class_tree, npz …)" if class_of(truth) is None else None

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Refuse outputs that are no embedding.

        Raises:
            ConfigError: there are several, or none of the name, or it holds one number; says what to set.
        """
        name = self._named(outputs)
        if outputs[name].size < 2:
            raise ConfigError(
                f"metric=retrieval: the output '{name}' {list(outputs[name].shape)} has {outputs[name].size} number an "
                "item; expected an embedding of two or more. Name another output with metric.output=NAME."
            )

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> NDArray[np.float64]:
        """Return (class, embedding …)."""
        embedding = np.asarray(outputs[self._named(outputs)]).reshape(-1)
        with np.errstate(over="ignore"):
            return np.concatenate([[float(label)], embedding.astype(np.float32).astype(np.float64)])

    def aggregate(self, scores: Scores) -> float:
        """Return the recall in percent; NaN where every item is alone in its class."""
        found, count = _found(scores, self.k)
        asked = int(count.sum())
        return 100.0 * float(found.sum()) / asked if asked else math.nan

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how many percentage points of recall are lost; 0 where every item is alone in its class."""
        lost = self.aggregate(float_scores) - self.aggregate(scores)
        return 0.0 if math.isnan(lost) else lost

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target, decided on whole items."""
        (before, count), (after, _) = _found(float_scores, self.k), _found(scores, self.k)
        return hits_below_target(int(before.sum()), int(after.sum()), max(int(count.sum()), 1), target)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return how many items count."""
        return {"queries": float(_found(scores, self.k)[1].sum())}

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items that ask, their neighbours among all items; see ``Resampled``."""
        (before, count), (after, _) = _found(float_scores, self.k), _found(scores, self.k)
        lost = before.astype(np.int64) - after
        return np.asarray(100.0 * lost[draws].sum(axis=1) / np.maximum(count[draws].sum(axis=1), 1), np.float64)

    def in_company(self, scores: Scores) -> Scores:
        """Return whether each item counts, and whether it finds one of its class, shape (items, 2)."""
        found, count = _found(scores, self.k)
        return np.column_stack([count, found]).astype(np.float64)

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return 1 where an item finds none of its class any more, -1 where it does now; of rows ``in_company``."""
        return None if before[1] == after[1] else float(before[1] - after[1])

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return whether one of the item's class is among its ``k`` nearest; of a row ``in_company``."""
        return {f"found_in_{self.k}": "yes" if row[1] else "no"}

    def _named(self, outputs: Outputs) -> str:
        if self.output is None and len(outputs) == 1:
            return next(iter(outputs))
        if self.output in outputs:
            assert self.output is not None
            return self.output
        listed = ", ".join(f"'{name}' {list(array.shape)}" for name, array in outputs.items())
        raise ConfigError(
            "metric.output: expected the output that holds the embedding, "
            f"got {'none' if self.output is None else repr(self.output)}; the model has {listed}. Set metric.output=NAME."
        )


def _found(scores: Scores, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which items find one of their class, and which count, shape (items,) each."""
    classes = np.array([row[0] for row in scores], np.int64)
    # Of an embedding that is not as long as most nothing can be said: it is near nothing.
    lengths = [len(row) for row in scores]
    length = Counter(lengths).most_common(1)[0][0]
    nothing = np.zeros(length - 1)
    embeddings = np.array([row[1:] if len(row) == length else nothing for row in scores], np.float64)
    count = counted(classes)
    return hits(classes, embeddings, k) & count, count
