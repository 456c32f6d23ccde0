"""Plans tried for real: each becomes a simulation model, is scored over every item, and is told to the listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.events import Emit, TrialFinished
from runner.graph.layers import FoundLayers
from runner.modes.amct_files import roll_back_config
from runner.record import QuantizedForm
from runner.search.plan import Plan, Trial

logger = logging.getLogger(__name__)


class TrialRunner:
    """Evaluates plans of one quantized form against one float evaluation.

    Args:
        model: the prepared float model at a runnable opset.
        found: its layers.
        form: every layer in int8; a plan's fallback is left out of it.
        evaluator: after it has run the float model.
        float_evaluation: of the float model.
        target: the loss must stay below it.
        emit: told of each trial.
    """

    def __init__(
        self,
        model: ir.Model,
        found: FoundLayers,
        form: QuantizedForm,
        evaluator: Evaluator,
        float_evaluation: Evaluation,
        *,
        target: float,
        emit: Emit,
    ) -> None:
        self._model, self._found, self._form = model, found, form
        self._evaluator, self._float, self._target, self._emit = evaluator, float_evaluation, target, emit
        self.evaluations: dict[Plan, Evaluation] = {}

    def run(self, plan: Plan, progress: Callable[[int], None]) -> Trial:
        """Return a plan's trial, measured on every item.

        Args:
            plan: what is int8.
            progress: told the number of items scored by all trials that were given it.
        """
        step = len(self.evaluations)
        simulated = fake_quant_model(self._model, self._found, self._form.without(plan.fallback), multiply=True)
        evaluation = self._evaluator.evaluate(simulated, progress)
        self.evaluations[plan] = evaluation
        trial = self._judge(plan, evaluation)
        self._emit(TrialFinished(step, trial.value, trial.loss, trial.accepted, len(plan.int8_layers), plan.fallback))
        _log(step, trial)
        return trial

    def _judge(self, plan: Plan, evaluation: Evaluation) -> Trial:
        metric = self._evaluator.metrics[0]
        before, after = self._float.scores[metric.name], evaluation.scores[metric.name]
        return Trial(
            plan, metric.aggregate(after), metric.loss(before, after), metric.accepts(before, after, self._target)
        )


def _log(step: int, trial: Trial) -> None:
    if step == 0:
        logger.info("global calibration accuracy: %s", trial.value)
        return
    stars = "*" * 20
    logger.info("%s fine search step %d %s", stars, step, stars)
    layers = list(roll_back_config(trial.plan).items())
    logger.info("quant layers:")
    for start in range(0, len(layers), 10):
        logger.info("%s", layers[start : start + 10])
    logger.info("metric_eval: (%s, %s)", trial.accepted, trial.loss)
