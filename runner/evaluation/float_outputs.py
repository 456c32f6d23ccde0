"""The float model's outputs, item by item: kept while they are small, made anew where they are not.

Outputs of any size have to fit: a segmenter gives 22 MB an item. What is kept is bounded; of the rest only facts are known, and
the rows of the metrics that were asked for. Whoever wants the outputs of such an item has the float model run on it once more,
and what was wanted last is kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runner.engine import BoundItem
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import Runs
from runner.evaluation.output_facts import ItemFacts
from runner.evaluation.outputs import ClassScores, Outputs
from runner.evaluation.scores import ItemScores

# Of all items together. Beside it stand the model, and what each caller works on.
MOST_BYTES = 1 << 28


def most_bytes() -> int:
    """Return how many bytes of a float model's outputs are kept."""
    return MOST_BYTES


def size_of(outputs: Outputs) -> int:
    """Return how many bytes an item's outputs take."""
    return sum(array.nbytes for array in outputs.values())


@dataclass(frozen=True, slots=True, eq=False)
class OwnRows:
    """The float model's own rows of items whose outputs were not kept.

    Attributes:
        metrics: that gave them.
        classes: how class scores were read.
        rows: by position.
    """

    metrics: tuple[Metric, ...] = ()
    classes: ClassScores | None = None
    rows: Mapping[int, ItemScores] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FloatOutputs:
    """What one look at a float model over fixed items shows.

    Attributes:
        facts: of each item's outputs, by position.
        kept: the outputs themselves, as far as they are at hand.
        own: rows of items whose outputs are not.
    """

    facts: Sequence[ItemFacts]
    kept: KeptOutputs
    own: OwnRows = field(default_factory=OwnRows)

    @property
    def complete(self) -> bool:
        """Whether every item's outputs are kept."""
        return self.kept.all_of(len(self.facts))

    @property
    def outputs(self) -> Mapping[str, bool]:
        """The names of the outputs, in order, and whether the values of each count by equality."""
        return {name: facts.holds_labels for name, facts in next(iter(self.facts), {}).items()}

    def made_by(self, model: Callable[[], Runs]) -> FloatOutputs:
        """Return the same with a float model that gives what is not kept."""
        return replace(self, kept=KeptOutputs(self.kept.known, model, self.kept.most_bytes))


@dataclass(frozen=True, slots=True)
class _Made:
    """Gives a session that is there."""

    runs: Runs

    def __call__(self) -> Runs:
        return self.runs


class KeptOutputs:
    """Outputs by position: those wanted last, up to a number of bytes, and any other from the float model.

    May be used from several threads.

    Args:
        known: at hand from the beginning.
        model: makes the session of the float model, where one is needed; None where everything is known.
        most_bytes: to keep.
    """

    def __init__(
        self, known: Mapping[int, Outputs], model: Callable[[], Runs] | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self.known, self.most_bytes = known, most_bytes
        self._model = model
        self._made: Runs | None = None
        self._kept = OrderedDict(known)
        self._bytes = sum(map(size_of, known.values()))
        self._lock = threading.Lock()

    def all_of(self, items: int) -> bool:
        """Return whether the outputs of so many items were known from the beginning."""
        return len(self.known) == items

    def of_some(self, positions: Sequence[int]) -> KeptOutputs:
        """Return the outputs at some positions, each called by its place among them, with the model if any is not at hand."""
        with self._lock:
            known = {place: self._kept[at] for place, at in enumerate(positions) if at in self._kept}
        if len(known) == len(positions):
            return KeptOutputs(known, None, self.most_bytes)
        return KeptOutputs(known, _Made(self.runs), self.most_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptOutputs, (self.known, self._model, self.most_bytes)

    def forget(self) -> None:
        """Let go of the outputs that can be made again, all but the first item's, and of the model's session."""
        with self._lock:
            self.known = {position: outputs for position, outputs in self.known.items() if position == 0}
            self._kept = OrderedDict(self.known)
            self._bytes = sum(map(size_of, self.known.values()))
            self._made = None

    @property
    def runs(self) -> Runs:
        """The float model, ready to run."""
        with self._lock:
            if self._made is None:
                assert self._model is not None  # whoever does not keep all outputs says what gives them
                self._made = self._model()
            return self._made

    def of(self, position: int, item: BoundItem, *, again: bool = True) -> Outputs:
        """Return the outputs of an item.

        Args:
            position: of the item.
            item: as the float model takes it too.
            again: whether they will be wanted once more before many others; else they are not kept.
        """
        with self._lock:
            found = self._kept.get(position)
            if found is not None:
                self._kept.move_to_end(position)
                return found
        made = self.runs.of(item)
        if not again:
            return made
        with self._lock:
            if position not in self._kept and size_of(made) <= self.most_bytes:
                self._kept[position] = made
                self._bytes += size_of(made)
            while self._bytes > self.most_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= size_of(dropped)
        return made
