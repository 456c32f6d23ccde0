"""Score models item by item against the float model's outputs, which are known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import onnx_ir as ir

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.float_outputs import FloatOutputs
from runner.evaluation.item_scorer import ItemScorer
from runner.evaluation.item_work import ScoreFloatItem, ScoreItem
from runner.evaluation.ledger import Ledger
from runner.evaluation.metric import Metric, needs_reference
from runner.evaluation.model_outputs import NamedRunnable, Runs
from runner.evaluation.outputs import ClassScores
from runner.evaluation.position_agreement import PositionAgreement
from runner.evaluation.scores import Evaluation, ItemScores, gathered
from runner.session import SIMULATION, Profile, Session

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
        reference: the float model's outputs.
        cautions: what the user should know of them.
        decides: whether the headline metric decides; otherwise a figure that cannot be had is left out, and is no error.
        ledger: counts the runs; models run over all items only where the headline metric decides.
        profile: of the sessions that models run in.
        known: the float model's own scores, where they have been made.
    """

    engine: Engine
    items: Subset
    metrics: tuple[Metric, ...]
    classes: ClassScores | None
    reference: FloatOutputs
    cautions: tuple[str, ...]
    decides: bool
    ledger: Ledger
    profile: Profile = SIMULATION
    known: Evaluation | None = None

    @property
    def of_item(self) -> ItemScorer:
        """Scores single items."""
        return ItemScorer(self.items.dataset, self.metrics, self.classes, self.decides)

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
        return self.reference.outputs

    @cached_property
    def float_scores(self) -> Evaluation:
        """The float model's own scores.

        Raises:
            DatasetError: an item is not finite, and a figure was to come of it.
        """
        return gathered(self._own_rows()) if self.known is None else self.known

    @property
    def float_figure(self) -> float:
        """The float model's figure under the headline metric."""
        return float(self.metrics[0].aggregate(self.float_scores.scores[self.metrics[0].name]))

    def _own_rows(self) -> list[ItemScores]:
        """Return the float model's own rows; what is not at hand has the float model run once more."""
        own, kept = self.reference.own, self.reference.kept
        made = own.rows if (own.metrics, own.classes) == (self.metrics, self.classes) else {}
        of_item = self.of_item
        rows = {
            position: made[position]
            if position in made
            else of_item.score(self.items.indices[position], kept.known[position], kept.known[position])
            for position in range(len(self.items))
            if position in made or position in kept.known
        }
        rest = [position for position in range(len(self.items)) if position not in rows]
        if rest:
            work = ScoreFloatItem(of_item, kept.runs)
            found = self.ledger.counted(self.engine.each(kept.runs.session, self.items.at(rest), work))
            rows.update(zip(rest, found, strict=True))
        return [rows[position] for position in range(len(self.items))]

    def by(self, metrics: Sequence[Metric]) -> Scorer:
        """Return the scorer by some of its metrics alone."""
        before = self.float_scores
        scores = {metric.name: before.scores[metric.name] for metric in metrics}
        return replace(self, metrics=tuple(metrics), known=Evaluation(scores, before.answers, before.leads))

    @property
    def without_reference(self) -> Scorer:
        """The scorer for models of which the verdict alone is wanted: by metrics that need no outputs of the float model.

        It is the scorer itself where those outputs are at hand, or the headline metric needs them.
        """
        metrics = [metric for metric in self.metrics if not needs_reference(metric)]
        if self.reference.complete or not metrics or metrics[0] != self.metrics[0]:
            return self
        return self.by(metrics)

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
        work = ScoreItem(
            self.of_item,
            Runs(session),
            positions,
            reference=self.reference.kept if any(map(needs_reference, self.metrics)) else None,
            # A pass over all items wants the first ones again when the last ones have taken their place.
            again=len(positions) < len(self.items),
            before=self.reference.facts if only_numbers else None,
        )
        yield from self.ledger.counted(self.engine.each(session, self.items.at(positions), work))

    def _runnable(self, model: ir.Model | NamedRunnable) -> NamedRunnable:
        return self.session(model) if isinstance(model, ir.Model) else model

    def session(self, model: ir.Model) -> Session:
        """Return a session of a model to be scored."""
        return self.engine.session(model, self.profile)
