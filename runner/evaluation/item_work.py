"""What a caller does with one item when a model is scored: values, so that it can be done on another machine too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple

from runner.dataset.item import Dataset
from runner.engine import BoundItem
from runner.errors import ModelError
from runner.evaluation import item_scorer
from runner.evaluation.float_outputs import KeptOutputs
from runner.evaluation.item_scorer import ItemScorer
from runner.evaluation.model_outputs import Runs, has_nan, refuse_item_at_fault
from runner.evaluation.output_facts import ItemFacts, OutputFacts, facts_of
from runner.evaluation.outputs import Outputs
from runner.evaluation.scores import DIGEST, ITEM_SCORES, ItemScores
from runner.output_digest import output_digest
from runner.store.stage import Codec, Stage
from runner.store.store import Entry


def _encode_scores(items: Sequence[ItemScores]) -> Entry:
    return ITEM_SCORES.encode(dict(enumerate(items)))


def _decode_scores(entry: Entry) -> Sequence[ItemScores]:
    return list(ITEM_SCORES.decode(entry).values())


@dataclass(frozen=True, slots=True)
class ItemsInputs:
    """What the results of some items depend on, where other machines scored them.

    Attributes:
        work: a session and what is done with its outputs, as they are sent; models by a digest.
        items: digest of contents and labels.
    """

    work: bytes
    items: str


ITEMS_SCORED: Stage[ItemsInputs, Sequence[ItemScores]] = Stage(
    "scores of some items, from other machines",
    ItemsInputs,
    Codec(_encode_scores, _decode_scores),
    through=(item_scorer,),
    profile=None,
)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreItem:
    """Scores a model against the float one.

    Attributes:
        scorer: of single items.
        runs: of the model.
        positions: of the items, by place; what the float model gives is known by position.
        reference: the float model's outputs; None where no metric looks at them.
        again: whether those are wanted once more before many others.
        before: the float model's facts by position, where NaN that it does not have is an error; None where it is not.
    """

    scorer: ItemScorer
    runs: Runs
    positions: Sequence[int]
    reference: KeptOutputs | None = None
    again: bool = True
    before: Sequence[ItemFacts] | None = None

    stage: ClassVar[Stage[ItemsInputs, Sequence[ItemScores]]] = ITEMS_SCORED

    def __call__(self, item: BoundItem) -> ItemScores:
        """Return the item's scores, and the digest of its outputs, by which a written model is known again.

        Raises:
            ModelError: an output holds NaN that the float model does not have; names the item.
        """
        position, outputs = self.positions[item.place], self.runs.of(item)
        if self.before is not None:
            self._refuse_nan(item.index, outputs, self.before[position])
        # What is made of large outputs is small: they are gone before the next item.
        reference = None if self.reference is None else self.reference.of(position, item, again=self.again)
        return {**self.scorer.score(item.index, outputs, reference), DIGEST: output_digest(outputs.values())}

    def part(self, start: int, stop: int) -> ScoreItem:
        """Return the work of the places from ``start`` up to ``stop``, with what it needs and no more."""
        positions = self.positions[start:stop]
        before = self.before
        if before is not None:
            before = [before[position] for position in positions]
        reference = None if self.reference is None else self.reference.of_some(positions)
        return replace(self, positions=range(len(positions)), reference=reference, before=before)

    def _refuse_nan(self, index: int, outputs: Outputs, before: ItemFacts) -> None:
        for name in (name for name, array in outputs.items() if has_nan(array) and not before[name].has_nan):
            item = self.scorer.dataset.name(index)
            raise ModelError(f"model: the output '{name}' holds NaN for the item {item}; expected numbers.")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFloatItem:
    """Scores the float model against itself, running it again.

    Attributes:
        scorer: of single items.
        runs: of the float model.
    """

    scorer: ItemScorer
    runs: Runs

    stage: ClassVar[Stage[ItemsInputs, Sequence[ItemScores]]] = ITEMS_SCORED

    def __call__(self, item: BoundItem) -> ItemScores:
        """Return the item's scores."""
        outputs = self.runs.of(item)
        return self.scorer.score(item.index, outputs, outputs)

    def part(self, start: int, stop: int) -> ScoreFloatItem:
        """Return the work of the places from ``start`` up to ``stop``."""
        return self


class Seen(NamedTuple):
    """What a look at the float model's outputs for an item shows.

    Attributes:
        facts: that are remembered.
        outputs: themselves, where they are kept.
        scores: of the float model against itself, where they are not.
    """

    facts: ItemFacts
    outputs: Outputs
    scores: ItemScores


def _encode_seen(items: Sequence[Seen]) -> Entry:
    arrays = {f"{i}/{n}": array for i, seen in enumerate(items) for n, array in enumerate(seen.outputs.values())}
    scores = _encode_scores([seen.scores for seen in items])
    values = {
        "facts": [{name: asdict(facts) for name, facts in seen.facts.items()} for seen in items],
        "outputs": [list(seen.outputs) for seen in items],
        "scores": scores.values,
    }
    return Entry(values, arrays | {f"scores/{name}": array for name, array in scores.arrays.items()})


def _decode_seen(entry: Entry) -> Sequence[Seen]:
    values = entry.values
    of_scores = {name.removeprefix("scores/"): a for name, a in entry.arrays.items() if name.startswith("scores/")}
    scores = _decode_scores(Entry(values["scores"], of_scores))
    return [
        Seen(
            {name: _facts(facts) for name, facts in each.items()},
            {name: entry.arrays[f"{i}/{n}"] for n, name in enumerate(names)},
            row,
        )
        for i, (each, names, row) in enumerate(zip(values["facts"], values["outputs"], scores, strict=True))
    ]


def _facts(values: dict[str, Any]) -> OutputFacts:
    return OutputFacts(**{**values, "shape": tuple(values["shape"])})


ITEMS_SEEN: Stage[ItemsInputs, Sequence[Seen]] = Stage(
    "outputs of the float model for some items, from other machines",
    ItemsInputs,
    Codec(_encode_seen, _decode_seen),
    through=(item_scorer,),
    profile=None,
)


@dataclass(frozen=True, slots=True, eq=False)
class LookAtItem:
    """Looks at what the float model gives.

    Attributes:
        dataset: of the items.
        runs: of the float model.
        scorer: of what is not kept; None where the outputs are.
        decides: whether an item that is not finite is an error.
    """

    dataset: Dataset
    runs: Runs
    scorer: ItemScorer | None
    decides: bool

    stage: ClassVar[Stage[ItemsInputs, Sequence[Seen]]] = ITEMS_SEEN

    def __call__(self, item: BoundItem) -> Seen:
        """Return what the item's outputs show.

        Raises:
            DatasetError: an output holds NaN because the item is not finite itself; names the item.
        """
        outputs = self.runs.of(item)
        for name in (name for name, array in outputs.items() if self.decides and has_nan(array)):
            refuse_item_at_fault(self.dataset, item.index, name)
        if self.scorer is None:
            return Seen(facts_of(outputs), outputs, {})
        return Seen(facts_of(outputs), {}, self.scorer.score(item.index, outputs, outputs))

    def part(self, start: int, stop: int) -> LookAtItem:
        """Return the work of the places from ``start`` up to ``stop``."""
        return self
