"""Who decides whether a plan is good enough: a metric against the target, or an AMCT evaluator of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx_ir as ir

from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator, LoadedEvaluator, as_number
from runner.evaluation.evaluator import EVALUATION, Evaluation, Evaluator, ItemScores
from runner.evaluation.metric import Scores
from runner.evaluation.settle import STEP, forecast
from runner.graph.model_file import fits_one_file
from runner.modes.scoring.item_scores import KeptItemScores
from runner.store.remembered import remembered
from runner.store.store import Store

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a quantized model is worth.

    Attributes:
        value: the deciding figure of the quantized model.
        loss: how much worse than the float model, in the figure's unit.
        accepted: whether that is little enough.
        evaluation: the model's scores over all items, where the judge made them.
        partial: its scores by position, where the verdict was settled before every item was scored; value and loss are
            estimates then.
    """

    value: float
    loss: float
    accepted: bool
    evaluation: Evaluation | None = None
    partial: Mapping[int, ItemScores] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A quantized model, built only where its verdict is not known yet.

    Attributes:
        build: gives the model.
        key: of its scores in the job's store; None where they must not be kept.
    """

    build: Callable[[], ir.Model]
    key: str | None = None


class Judge(Protocol):
    """Measures quantized models against one float model."""

    @property
    def name(self) -> str:
        """Return what the deciding figure is called."""
        ...

    @property
    def unit(self) -> str:
        """Return the unit of the loss."""
        ...

    @property
    def target(self) -> float | None:
        """Return what the loss must stay below, or None where the judge has its own rule."""
        ...

    @property
    def multiply(self) -> bool:
        """Whether models are run in the runner's own sessions only (see ``fake_quant_model``)."""
        ...

    def look_at_float(self, evaluation: Evaluation) -> float:
        """Keep the float model's scores, measure it, and return its figure; called once, before any quantized model."""
        ...

    @property
    def evaluations(self) -> int:
        """Return how many models were run over all items, the float one included; remembered ones were not run."""
        ...

    def judge(self, candidate: Candidate, progress: Progress, *, known: Verdict | None = None) -> Verdict:
        """Return the verdict on a quantized model, from all items.

        Args:
            candidate: the quantized model.
            progress: told how many items are scored.
            known: a partial verdict on the same model.
        """
        ...

    def judge_early(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Return a verdict on a quantized model, from as many items as settle it, where the judge can tell.

        Called after ``judge`` has seen one quantized model.
        """
        ...


class MetricJudge:
    """The first metric of an evaluator, with the loss below a target.

    Args:
        evaluator: after it has run the float model.
        target: the loss must stay below it, strictly.
        store: keeps each model's scores.
        confidence: of an early verdict, see ``forecast``.
        seed: of the order in which items are scored for one.
    """

    multiply = True

    def __init__(
        self,
        evaluator: Evaluator,
        target: float,
        store: Store | None = None,
        *,
        confidence: float | None = None,
        seed: int = 0,
    ) -> None:
        self._evaluator, self.target, self._store = evaluator, target, store
        self._confidence, self._seed = confidence, seed
        self._first: Evaluation | None = None
        self._begun = set[str | None]()

    @property
    def name(self) -> str:
        """Return the metric's name."""
        return self._evaluator.metrics[0].name

    @property
    def unit(self) -> str:
        """Return the metric's unit."""
        return self._evaluator.metrics[0].unit

    def look_at_float(self, evaluation: Evaluation) -> float:
        """Keep the float model's scores and return its metric."""
        metric = self._evaluator.metrics[0]
        self._before = evaluation
        return metric.aggregate(evaluation.scores[metric.name])

    @property
    def evaluations(self) -> int:
        """Return how many models the evaluator ran over all items."""
        return self._evaluator.evaluations

    def judge(self, candidate: Candidate, progress: Progress, *, known: Verdict | None = None) -> Verdict:
        """Return the metric's verdict over all items."""
        scored = {} if known is None or known.partial is None else known.partial

        def evaluate() -> Evaluation:
            if scored and candidate.key in self._begun:
                # What was a part becomes the whole.
                self._evaluator.partial_evaluations -= 1
            return self._evaluator.evaluate(candidate.build(), progress, scored)

        evaluation = remembered(self._store, candidate.key, evaluate, EVALUATION)
        if self._first is None:
            self._first = evaluation
        return self._verdict(evaluation.scores[self.name], evaluation)

    def judge_early(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Return the metric's verdict as soon as it is settled; the items are scored in the order of a forecast.

        Scores are kept STEP items at a time, and no target is in that order: where another job stopped, for another target,
        this one goes on.
        """
        assert self._first is not None  # judge comes first
        evaluator = self._evaluator
        outlooks = forecast(
            evaluator.metrics[0],
            self._before,
            self._first,
            target=self.target,
            confidence=self._confidence,
            seed=self._seed,
        )
        if outlooks is None:
            return self.judge(candidate, progress)
        kept = KeptItemScores(evaluator, candidate.build, progress, self._store, candidate.key)
        found, begin = dict[int, ItemScores](), evaluator.items_scored
        for start in range(0, len(outlooks.order), STEP):
            found |= kept.of(outlooks.order[start : start + STEP])
            # Asked of what is remembered too: what is written must not depend on that.
            if len(found) < len(outlooks.order) and outlooks.look(evaluator.gathered([*found.values()])).settled:
                break
        partial = len(found) < len(outlooks.order)
        if evaluator.items_scored > begin:
            evaluator.partial_evaluations += partial
            evaluator.evaluations += not partial
            self._begun |= {candidate.key} if partial else set()
        if partial:
            outlook = outlooks.look(evaluator.gathered([*found.values()]))
            return self._verdict(outlook.scores, partial=found)
        evaluation = evaluator.gathered([found[position] for position in range(len(found))])
        return self._verdict(evaluation.scores[self.name], evaluation)

    def _verdict(
        self, after: Scores, evaluation: Evaluation | None = None, partial: Mapping[int, ItemScores] | None = None
    ) -> Verdict:
        metric, before = self._evaluator.metrics[0], self._before.scores[self.name]
        accepted = metric.accepts(before, after, self.target)
        return Verdict(metric.aggregate(after), metric.loss(before, after), accepted, evaluation, partial)


class AmctJudge:
    """An AMCT evaluator: models go to it as files, and its ``metric_eval`` decides.

    Where its metric is no number, the loss stands in the metric's place.

    Args:
        options: which evaluator.
        model_file: the float model's file.
        fixed: what stands for it where some of its inputs are fixed.
    """

    multiply = False
    target = None

    def __init__(self, options: AmctEvaluator, model_file: str | Path, fixed: ir.Model | None = None) -> None:
        self.name, self.unit = options.name, options.unit
        self._evaluator: LoadedEvaluator = options.load()
        self._model_file = Path(model_file).absolute()
        self._fixed = fixed
        self._original: Any = None
        self.evaluations = 0

    def look_at_float(self, evaluation: Evaluation) -> float:
        """Measure the float model's file and return the evaluator's metric.

        Raises:
            ConfigError: ``metric_eval`` is not satisfied with the float model itself.
        """
        file, fixed = self._model_file, self._fixed
        self._original = self._evaluator.evaluate(file) if fixed is None else self._of_model(fixed, file.name)
        self.evaluations += 1
        satisfied, loss = self._evaluator.compare(self._original, self._original)
        if not satisfied:
            raise ConfigError(
                "metric.evaluator: Compare between original_accuracy and original_accuracy can not satisfy the acc "
                f"requirement, please check the metric_eval function. (It gave a loss of {loss}.)"
            )
        return _figure(self._original, loss)

    def judge_early(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Return the evaluator's verdict, which it gives on the whole of its data."""
        return self.judge(candidate, progress)

    def judge(self, candidate: Candidate, progress: Progress, *, known: Verdict | None = None) -> Verdict:
        """Write the model to a temporary file and return the evaluator's verdict, which is never remembered."""
        new = self._of_model(candidate.build(), "fake_quant_model.onnx")
        self.evaluations += 1
        accepted, loss = self._evaluator.compare(self._original, new)
        return Verdict(_figure(new, loss), loss, accepted)

    def _of_model(self, model: ir.Model, name: str) -> Any:  # noqa: ANN401 - the user's metric
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            ir.save(model, path, external_data=None if fits_one_file(model) else f"{path.stem}.data")
            return self._evaluator.evaluate(path)


def _figure(metric: Any, loss: float) -> float:  # noqa: ANN401 - the user's metric
    number = as_number(metric)
    return loss if number is None else number
