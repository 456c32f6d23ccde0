"""Score models item by item against the float model's outputs, which are known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import onnx_ir as ir

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ModelError
from runner.evaluation.accuracy import Counted
from runner.evaluation.ledger import Ledger
from runner.evaluation.likeness import counts_by_equality, is_unlike
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import NamedRunnable, has_nan, is_finite, model_outputs, refuse_item_at_fault
from runner.evaluation.outputs import ClassScores, Outputs
from runner.evaluation.position_agreement import PositionAgreement
from runner.evaluation.scores import ANSWER, LEAD, Evaluation, ItemScores, gathered
from runner.session import SIMULATION, Profile, Session

# The version of this stage's meaning: raise it when the same outputs would give other scores, under any metric.
VERSION = 3

Progress = Callable[[int], None]


def silent(done: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores models over fixed items against one float model; made by ``Evaluator.against``.

    Attributes:
        engine: runs models.
        items: what they are run on; a position is a place in it.
        metrics: those that apply to the float model and the items, the headline one first.
        classes: how to read class scores; None where the model is no classifier.
        reference: the float model's outputs, by position.
        cautions: what the user should know of them.
        decides: whether the headline metric decides; otherwise a figure that cannot be had is left out, and is no error.
        ledger: counts the runs; models run over all items only where the headline metric decides.
        profile: of the sessions that models run in.
    """

    engine: Engine
    items: Subset
    metrics: tuple[Metric, ...]
    classes: ClassScores | None
    reference: Sequence[Outputs]
    cautions: tuple[str, ...]
    decides: bool
    ledger: Ledger
    profile: Profile = SIMULATION

    @property
    def counted(self) -> int:
        """How many items, or positions of them, the headline metric counts."""
        metric = self.metrics[0]
        if not isinstance(metric, PositionAgreement):
            return len(self.items)
        return int(metric.weights(self.float_scores.scores[metric.name]).sum())

    @property
    def outputs(self) -> Mapping[str, bool]:
        """The outputs that are measured, in the order of the scores, and whether the values of each count by equality."""
        return {name: counts_by_equality(array) for name, array in next(iter(self.reference), {}).items()}

    @cached_property
    def float_scores(self) -> Evaluation:
        """The float model's own scores.

        Raises:
            DatasetError: an item is not finite, and a figure was to come of it.
        """
        return gathered([self.score(position, outputs) for position, outputs in enumerate(self.reference)])

    def evaluate(
        self,
        model: ir.Model | NamedRunnable,
        progress: Progress = silent,
        known: Mapping[int, ItemScores] = MappingProxyType({}),
        *,
        continued: bool = False,
    ) -> Evaluation:
        """Return a model's scores over all items.

        Args:
            model: any with the float model's inputs and outputs.
            progress: told how many items are scored.
            known: its scores at some positions, which are not scored again.
            continued: whether the ledger has the model as run on some items.
        """
        scores = dict(known)
        rest = [position for position in range(len(self.items)) if position not in known]
        for position, score in zip(rest, self.scores(self._runnable(model), rest), strict=True):
            scores[position] = score
            progress(len(scores) - len(known))
        if self.decides:
            self.ledger.ran(whole=True, continued=continued)
        return gathered([scores[position] for position in range(len(self.items))])

    def evaluate_some(
        self, model: ir.Model | NamedRunnable, positions: Sequence[int], progress: Progress = silent
    ) -> Evaluation:
        """Return a model's scores at the given positions, in their order."""
        found = list[ItemScores]()
        with contextlib.closing(self.scores(self._runnable(model), positions)) as scores:
            for score in scores:
                found.append(score)
                progress(len(found))
        self.ledger.ran(whole=False)
        return gathered(found)

    def scores(
        self, session: NamedRunnable, positions: Sequence[int], *, only_numbers: bool = False
    ) -> Generator[ItemScores, None, None]:
        """Yield the scores of the items at the given positions, in order; stop iterating to stop early.

        Args:
            session: of the model.
            positions: of the items.
            only_numbers: whether NaN that the float model does not have is an error; otherwise the item is wrong.

        Raises:
            ModelError: an output holds such NaN; names the item.
        """
        outputs_of_items = model_outputs(session, self.items.at(positions), self.engine, self.ledger)
        for position, outputs in zip(positions, outputs_of_items, strict=True):
            for name in (name for name, array in outputs.items() if only_numbers and has_nan(array)):
                if not has_nan(self.reference[position][name]):
                    item = self.items.dataset.name(self.items.indices[position])
                    raise ModelError(f"model: the output '{name}' holds NaN for the item {item}; expected numbers.")
            yield self.score(position, outputs)

    def score(self, position: int, outputs: Outputs) -> ItemScores:
        """Return the scores of a model's outputs for the item at a position.

        Raises:
            DatasetError: the item is not finite, and a figure was to come of it.
        """
        if not self.metrics:
            return {}
        dataset, index, reference = self.items.dataset, self.items.indices[position], self.reference[position]
        for name, output in outputs.items():
            both = output, reference[name]
            comparable = output.shape == reference[name].shape
            if self.decides and comparable and not all(map(is_finite, both)) and is_unlike(*both):
                refuse_item_at_fault(dataset, index, name)
        label = dataset.label(index)
        scores: dict[str, tuple[float, ...]] = {
            metric.name: tuple(metric.score(outputs, reference, label, self.classes)) for metric in self.metrics
        }
        if self.classes is not None:
            scores[ANSWER] = self.classes.answer_and_margin(outputs)
        headline = self.metrics[0]
        if isinstance(headline, Counted):
            scores[LEAD] = (headline.lead(outputs, reference, label, self.classes),)
        return scores

    def _runnable(self, model: ir.Model | NamedRunnable) -> NamedRunnable:
        return self.session(model) if isinstance(model, ir.Model) else model

    def session(self, model: ir.Model) -> Session:
        """Return a session of a model to be scored."""
        return self.engine.session(model, self.profile)
