"""Plans tried for real: each becomes a simulation model, is scored over every item, and is told to the listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.events import Emit, TrialFinished
from runner.graph.layers import FoundLayers
from runner.modes.amct_files import roll_back_config
from runner.modes.judge import Candidate, Judge, Verdict
from runner.record import QuantizedForm
from runner.search.plan import Plan, Trial

logger = logging.getLogger(__name__)


class TrialRunner:
    """Has the plans of one quantized form judged.

    Args:
        model: the prepared float model at a runnable opset.
        found: its layers.
        form: every layer in int8; a plan's fallback is left out of it.
        judge: after it has looked at the float model.
        emit: told of each trial.
        key: gives the key of a form's scores in the job's store.
    """

    def __init__(
        self,
        model: ir.Model,
        found: FoundLayers,
        form: QuantizedForm,
        judge: Judge,
        emit: Emit,
        key: Callable[[QuantizedForm], str | None] = lambda form: None,
    ) -> None:
        self._model, self._found, self._form, self._judge, self._emit = model, found, form, judge, emit
        self._key = key
        self.verdicts: dict[Plan, Verdict] = {}

    def run(
        self, plan: Plan, progress: Callable[[int], None], before_evaluation: Callable[[], None] = lambda: None
    ) -> Trial:
        """Return a plan's trial, measured on every item.

        Args:
            plan: what is int8.
            progress: told the number of items scored by all trials that were given it.
            before_evaluation: called when the plan's model is about to be run; not where its scores are remembered.
        """

        def build() -> ir.Model:
            before_evaluation()
            return self.model(plan, multiply=self._judge.multiply)

        step = len(self.verdicts)
        verdict = self._judge.judge(Candidate(build, self._key(self.form(plan))), progress)
        self.verdicts[plan] = verdict
        trial = Trial(plan, verdict.value, verdict.loss, verdict.accepted)
        self._emit(TrialFinished(step, trial.value, trial.loss, trial.accepted, len(plan.int8_layers), plan.fallback))
        _log(step, trial)
        return trial

    def form(self, plan: Plan) -> QuantizedForm:
        """Return a plan's quantized form."""
        return self._form.without(plan.fallback)

    def model(self, plan: Plan, *, multiply: bool) -> ir.Model:
        """Return a plan's simulation model."""
        return fake_quant_model(self._model, self._found, self.form(plan), multiply=multiply)


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
