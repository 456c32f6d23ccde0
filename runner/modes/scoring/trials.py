"""Plans tried for real: each becomes a simulation model, is scored, and is told to the listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.events import Emit, TrialFinished
from runner.graph.layers import LayeredModel
from runner.graph.macs import LayerCost
from runner.modes.files.amct_files import roll_back_config
from runner.modes.scoring.judge import Candidate, Judge, Verdict
from runner.record import QuantizedLayers
from runner.search.plan import FLOAT, INT8, Plan, Trial

logger = logging.getLogger(__name__)


class TrialRunner:
    """Has the plans of one quantized form judged.

    Args:
        model: the prepared float model at a runnable opset.
        form: every layer in int8.
        judge: after it has looked at the float model.
        emit: told of each trial.
        costs: of each layer; without them every plan costs nothing.
        key: gives the key of a form's scores in the job's store.

    Attributes:
        forms: the form that each treatment of a layer is taken from; repaired ones are added to it.
        verdicts: of each plan tried.
    """

    def __init__(
        self,
        model: LayeredModel,
        form: QuantizedLayers,
        judge: Judge,
        emit: Emit,
        costs: Mapping[str, LayerCost] | None = None,
        key: Callable[[QuantizedLayers], str | None] = lambda form: None,
    ) -> None:
        self._model, self._judge, self._emit = model, judge, emit
        self._costs, self._key = costs or {}, key
        self.forms: dict[str, QuantizedLayers] = {INT8: form}
        self.verdicts: dict[Plan, Verdict] = {}

    def run(
        self, plan: Plan, progress: Callable[[int], None], before_evaluation: Callable[[], None] = lambda: None
    ) -> Trial:
        """Return a plan's trial, measured on every item; those of an early trial of the same plan are not scored again.

        Args:
            plan: what is int8.
            progress: told the number of items scored.
            before_evaluation: called when the plan's model is about to be run; not where its scores are remembered.
        """
        known = self.verdicts.get(plan)
        return self._told(plan, self._judge.judge(self._candidate(plan, before_evaluation), progress, known=known))

    def run_early(
        self, plan: Plan, progress: Callable[[int], None], before_evaluation: Callable[[], None] = lambda: None
    ) -> Trial:
        """Return a plan's trial, measured on as many items as settle its verdict; another trial was ``run`` before."""
        return self._told(plan, self._judge.judge_early(self._candidate(plan, before_evaluation), progress))

    @property
    def repaired(self) -> dict[str, QuantizedLayers]:
        """The stronger forms of the layers, by treatment, the gentlest first."""
        return {treatment: form for treatment, form in self.forms.items() if treatment != INT8}

    def form(self, plan: Plan) -> QuantizedLayers:
        """Return a plan's quantized form."""
        return planned_form(self.forms, plan)

    def model(self, plan: Plan, *, multiply: bool) -> ir.Model:
        """Return a plan's simulation model."""
        return fake_quant_model(self._model, self.form(plan), multiply=multiply)

    def _candidate(self, plan: Plan, before_evaluation: Callable[[], None]) -> Candidate:
        def build() -> ir.Model:
            before_evaluation()
            return self.model(plan, multiply=self._judge.multiply)

        return Candidate(build, self._key(self.form(plan)))

    def _told(self, plan: Plan, verdict: Verdict) -> Trial:
        self.verdicts[plan] = verdict  # in the order of the first trial of each
        step = list(self.verdicts).index(plan)
        settled_after = None if verdict.partial is None else len(verdict.partial)
        float_macs = sum(self._costs[name].macs for name in plan.fallback) if self._costs else 0
        trial = Trial(plan, verdict.value, verdict.loss, verdict.accepted, float_macs, settled_after)
        int8 = len(plan.int8_layers)
        self._emit(
            TrialFinished(
                step, trial.value, trial.loss, trial.accepted, int8, plan.fallback, settled_after=settled_after
            )
        )
        _log(step, trial)
        return trial


def planned_form(forms: Mapping[str, QuantizedLayers], plan: Plan) -> QuantizedLayers:
    """Return the form of a plan: each int8 layer from the form of its treatment.

    Args:
        forms: by treatment; the one of ``INT8`` has every layer and the tensors.
        plan: what is done to each layer.
    """
    layers = {name: forms[treatment].layers[name] for name, treatment in plan.treatments if treatment != FLOAT}
    return QuantizedLayers(layers, {} if plan.float_tensors else forms[INT8].tensors)


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
