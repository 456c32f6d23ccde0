"""Who decides whether a plan is good enough: a metric against the target, or an AMCT evaluator of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import onnx_ir as ir

from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import LoadedEvaluator, as_number
from runner.evaluation.ledger import Ledger
from runner.evaluation.metric import Metric, Scores
from runner.evaluation.scorer import Progress, Scorer
from runner.evaluation.scores import EVALUATION, Evaluation, ItemScores
from runner.graph.model_file import fits_one_file
from runner.store.stage import cached
from runner.store.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class PartialScores:
    """A model's scores of some items.

    Attributes:
        items: by position.
        counted: whether the ledger has the model as run on some items; not where all of them were remembered.
    """

    items: Mapping[int, ItemScores]
    counted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a quantized model is worth.

    Attributes:
        value: the deciding figure of the quantized model.
        loss: how much worse than the float model, in the figure's unit.
        accepted: whether that is little enough.
        evaluation: the model's scores over all items, where the judge made them.
        partial: its scores of some items, where they settled the verdict; value and loss are estimates then.
    """

    value: float
    loss: float
    accepted: bool
    evaluation: Evaluation | None = None
    partial: PartialScores | None = None


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
    """Measures quantized models against one float model, which it has looked at."""

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
    def own_session(self) -> bool:
        """Whether models are run in the runner's own sessions only (see ``fake_quant_model``)."""
        ...

    @property
    def float_value(self) -> float:
        """Return the float model's figure."""
        ...

    def judge(
        self, candidate: Candidate, progress: Progress, *, early: bool = False, known: PartialScores | None = None
    ) -> Verdict:
        """Return the verdict on a quantized model.

        Args:
            candidate: the quantized model.
            progress: told how many items are scored.
            early: whether a verdict is enough, its figures being estimates: a judge may give it from some of the items.
            known: the model's scores of some items, which are not made again.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MetricJudge:
    """The first metric of a scorer, over all items, with the loss below a target.

    Attributes:
        scorer: against the float model.
        target: the loss must stay below it, strictly.
        store: keeps each model's scores.
    """

    scorer: Scorer
    target: float
    store: Store | None = None
    own_session: ClassVar[bool] = True

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.scorer.metrics[0]

    @property
    def name(self) -> str:
        """Return the metric's name."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """Return the metric's unit."""
        return self.metric.unit

    @property
    def float_value(self) -> float:
        """Return the float model's metric."""
        return self.scorer.float_figure

    def judge(
        self, candidate: Candidate, progress: Progress, *, early: bool = False, known: PartialScores | None = None
    ) -> Verdict:
        """Return the metric's verdict, from all items."""
        scored, counted = ({}, False) if known is None else (known.items, known.counted)
        evaluation = cached(
            self.store,
            candidate.key,
            lambda: self.scorer.evaluate(candidate.build(), progress, scored, continued=counted),
            EVALUATION,
        )
        return self.verdict(evaluation.scores[self.name], evaluation=evaluation)

    def verdict(
        self, scores: Scores, *, evaluation: Evaluation | None = None, partial: PartialScores | None = None
    ) -> Verdict:
        """Return the verdict on a model's scores under the metric, of all items, known or expected."""
        before = self.scorer.float_scores.scores[self.name]
        # A metric of the user's may give numpy's numbers.
        accepted = bool(self.metric.accepts(before, scores, self.target))
        value, loss = float(self.metric.aggregate(scores)), float(self.metric.loss(before, scores))
        return Verdict(value, loss, accepted, evaluation, partial)


@dataclass(frozen=True, slots=True, eq=False)
class AmctJudge:
    """An AMCT evaluator: models go to it as files, and its ``metric_eval`` decides; made by ``against``.

    Where its metric is no number, the loss stands in the metric's place.

    Attributes:
        evaluator: the user's.
        name: what its figure is called.
        unit: of the loss that it gives.
        original: its metric of the float model.
        float_value: that as a number.
        ledger: counts the models given to it.
    """

    evaluator: LoadedEvaluator
    name: str
    unit: str
    original: Any
    float_value: float
    ledger: Ledger
    own_session: ClassVar[bool] = False
    target: ClassVar[None] = None

    @classmethod
    def against(
        cls, evaluator: LoadedEvaluator, model_file: str | Path, ledger: Ledger, *, fixed: ir.Model | None = None
    ) -> AmctJudge:
        """Return the judge against a float model.

        Args:
            evaluator: the user's.
            model_file: the float model's file.
            ledger: counts the models given to it.
            fixed: what stands for the file where some of its inputs are fixed.

        Raises:
            ConfigError: ``metric_eval`` is not satisfied with the float model itself.
        """
        file = Path(model_file).absolute()
        original = evaluator.evaluate(file) if fixed is None else _measured(evaluator, fixed, file.name)
        ledger.ran(whole=True)
        satisfied, loss = evaluator.compare(original, original)
        if not satisfied:
            raise ConfigError(
                "metric.evaluator: Compare between original_accuracy and original_accuracy can not satisfy the acc "
                f"requirement, please check the metric_eval function. (It gave a loss of {loss}.)"
            )
        return cls(evaluator, evaluator.name, evaluator.unit, original, _figure(original, loss), ledger)

    def judge(
        self, candidate: Candidate, progress: Progress, *, early: bool = False, known: PartialScores | None = None
    ) -> Verdict:
        """Write the model to a temporary file and return the evaluator's verdict, which is never remembered."""
        new = _measured(self.evaluator, candidate.build(), "quantized_model.onnx")
        self.ledger.ran(whole=True)
        accepted, loss = self.evaluator.compare(self.original, new)
        return Verdict(_figure(new, loss), loss, accepted)


def _measured(evaluator: LoadedEvaluator, model: ir.Model, name: str) -> Any:  # noqa: ANN401 - the user's metric
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        ir.save(model, path, external_data=None if fits_one_file(model) else f"{path.stem}.data")
        return evaluator.evaluate(path)


def _figure(metric: Any, loss: float) -> float:  # noqa: ANN401 - the user's metric
    number = as_number(metric)
    return loss if number is None else number
