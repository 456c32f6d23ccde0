"""Who decides whether a plan is good enough: a metric against the target, or an AMCT evaluator of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import onnx_ir as ir

from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator, LoadedEvaluator, as_number
from runner.evaluation.evaluator import EVALUATION, Evaluation, Evaluator
from runner.graph.model_file import fits_one_file
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
        evaluation: the model's scores, where the judge made them.
    """

    value: float
    loss: float
    accepted: bool
    evaluation: Evaluation | None = None


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
        """Return how many models were run in full, the float one included; remembered ones were not run."""
        ...

    def judge(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Return the verdict on a quantized model."""
        ...


class MetricJudge:
    """The first metric of an evaluator, with the loss below a target.

    Args:
        evaluator: after it has run the float model.
        target: the loss must stay below it, strictly.
        store: keeps each model's scores.
    """

    multiply = True

    def __init__(self, evaluator: Evaluator, target: float, store: Store | None = None) -> None:
        self._evaluator, self.target, self._store = evaluator, target, store

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
        self._before = evaluation.scores[metric.name]
        return metric.aggregate(self._before)

    @property
    def evaluations(self) -> int:
        """Return how many models the evaluator ran in full."""
        return self._evaluator.evaluations

    def judge(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Return the metric's verdict over all items."""
        metric = self._evaluator.metrics[0]
        evaluation = remembered(
            self._store, candidate.key, lambda: self._evaluator.evaluate(candidate.build(), progress), EVALUATION
        )
        after = evaluation.scores[metric.name]
        return Verdict(
            metric.aggregate(after),
            metric.loss(self._before, after),
            metric.accepts(self._before, after, self.target),
            evaluation,
        )


class AmctJudge:
    """An AMCT evaluator: models go to it as files, and its ``metric_eval`` decides.

    Where its metric is no number, the loss stands in the metric's place.

    Args:
        options: which evaluator.
        model_file: the float model's file.
    """

    multiply = False
    target = None

    def __init__(self, options: AmctEvaluator, model_file: str | Path) -> None:
        self.name, self.unit = options.name, options.unit
        self._evaluator: LoadedEvaluator = options.load()
        self._model_file = Path(model_file).absolute()
        self._original: Any = None
        self.evaluations = 0

    def look_at_float(self, evaluation: Evaluation) -> float:
        """Measure the float model's file and return the evaluator's metric.

        Raises:
            ConfigError: ``metric_eval`` is not satisfied with the float model itself.
        """
        self._original = self._evaluator.evaluate(self._model_file)
        self.evaluations += 1
        satisfied, loss = self._evaluator.compare(self._original, self._original)
        if not satisfied:
            raise ConfigError(
                "metric.evaluator: Compare between original_accuracy and original_accuracy can not satisfy the acc "
                f"requirement, please check the metric_eval function. (It gave a loss of {loss}.)"
            )
        return _figure(self._original, loss)

    def judge(self, candidate: Candidate, progress: Progress) -> Verdict:
        """Write the model to a temporary file and return the evaluator's verdict, which is never remembered."""
        model = candidate.build()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fake_quant_model.onnx"
            ir.save(model, path, external_data=None if fits_one_file(model) else "fake_quant_model.data")
            new = self._evaluator.evaluate(path)
        self.evaluations += 1
        accepted, loss = self._evaluator.compare(self._original, new)
        return Verdict(_figure(new, loss), loss, accepted)


def _figure(metric: Any, loss: float) -> float:  # noqa: ANN401 - the user's metric
    number = as_number(metric)
    return loss if number is None else number
