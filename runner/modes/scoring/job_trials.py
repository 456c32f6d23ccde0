"""The log of a job's trials: plans become simulation models, are judged, and are told, with the best pair on disk meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import onnx_ir as ir

from runner.evaluation.judge import Candidate, Judge, PartialScores, Verdict
from runner.evaluation.scorer import Progress
from runner.events import Emit, TrialFinished
from runner.graph.macs import LayerCost
from runner.modes.files.amct_files import roll_back_config
from runner.record import QuantizedLayers
from runner.search.plan import Plan, Trial
from runner.search.planned_models import PlannedModels
from runner.search.trial_log import TrialLog

logger = logging.getLogger(__name__)


def job_trials(
    models: PlannedModels,
    judge: Judge,
    emit: Emit,
    costs: Mapping[str, LayerCost] | None = None,
    *,
    key: Callable[[QuantizedLayers], str | None] = lambda form: None,
    offer: Callable[[Trial], None] = lambda trial: None,
    publish: Callable[[], None] = lambda: None,
) -> TrialLog:
    """Return the log of a job's trials.

    Args:
        models: of plans.
        judge: decides about them.
        emit: told of each trial.
        costs: of each layer; without them every plan costs nothing.
        key: gives the key of a form's scores in the job's store.
        offer: takes note of each trial over all items, whose models may be a result.
        publish: called when a plan's model is about to be run; not where its scores are remembered.
    """

    def measure(plan: Plan, progress: Progress, *, early: bool, known: PartialScores | None) -> Verdict:
        def build() -> ir.Model:
            publish()
            return models.model(plan, own_session=judge.own_session)

        return judge.judge(Candidate(build, key(models.form(plan))), progress, early=early, known=known)

    def float_macs(plan: Plan) -> int:
        return sum(costs[name].macs for name in plan.fallback) if costs else 0

    def told(step: int, trial: Trial) -> None:
        emit(
            TrialFinished(
                step,
                trial.value,
                trial.loss,
                trial.accepted,
                len(trial.plan.int8_layers),
                trial.plan.fallback,
                settled_after=trial.settled_after,
            )
        )
        _log(step, trial)
        if trial.full:
            offer(trial)

    return TrialLog(measure, float_macs, told)


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
