"""What a quantized model loses at its outputs for an item, and with each of some groups of its layers in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from runner.dataset.binding import first_rows
from runner.engine import BoundItem
from runner.evaluation.float_outputs import KeptOutputs
from runner.evaluation.item_scorer import ItemScorer
from runner.evaluation.item_work import ITEMS_SCORED, ItemsInputs
from runner.evaluation.leaving_out import LeavingOut
from runner.evaluation.model_outputs import named_outputs
from runner.evaluation.output_loss import item_losses
from runner.evaluation.scores import ItemScores, gathered
from runner.store.stage import Stage

LOSSES = "losses"


@dataclass(frozen=True, slots=True, eq=False)
class LossWithout:
    """Compares an item's outputs with the float model's.

    Attributes:
        scorer: of single items, by the metric that tells the loss.
        model: with its groups of layers.
        groups: how many it has.
        positions: of the items, by place; what the float model gives is known by position.
        reference: the float model's outputs.
    """

    scorer: ItemScorer
    model: LeavingOut
    groups: int
    positions: Sequence[int]
    reference: KeptOutputs

    stage: ClassVar[Stage[ItemsInputs, Sequence[ItemScores]]] = ITEMS_SCORED

    def __call__(self, item: BoundItem) -> ItemScores:
        """Return the item's losses under ``LOSSES``: with every layer in int8, then with each group in float."""
        reference = self.reference.of(self.positions[item.place], item, again=False)
        losses = [0.0] * (1 + self.groups)
        for number, arrays in self.model.each(item.feeds):
            outputs = named_outputs(self.model, first_rows(arrays, item.repeats))
            scores = gathered([self.scorer.score(item.index, outputs, reference)]).scores
            losses[0 if number is None else 1 + number] = float(item_losses(scores)[1][0])
        return {LOSSES: tuple(losses)}

    def part(self, start: int, stop: int) -> LossWithout:
        """Return the work of the places from ``start`` up to ``stop``, with what it needs and no more."""
        positions = self.positions[start:stop]
        return replace(self, positions=range(len(positions)), reference=self.reference.of_some(positions))
