"""From the plan with every layer int8 to the chosen one: repairs, then what the strategy proposes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from runner.events import SEARCH
from runner.modes.context import Context
from runner.search.ladder import climb
from runner.search.needs import StrategyNeeds
from runner.search.plan import Plan, Ranking, Strategy, Trial
from runner.search.planned_models import Form, PlannedModels
from runner.search.search import search
from runner.search.trial_log import TrialLog

logger = logging.getLogger(__name__)


def try_repairs(
    all_int8: Trial,
    repairs: Callable[[], Mapping[str, Form]],
    models: PlannedModels,
    log: TrialLog,
    *,
    job: Context,
    items: int,
) -> tuple[Trial, ...]:
    """Return the trials of the plans in which no layer falls back, ``all_int8`` first.

    Args:
        all_int8: the trial of the plan without repairs.
        repairs: gives stronger forms by treatment, where ``all_int8`` is refused.
        models: of plans; are given those forms.
        log: makes trials.
        job: has the budget, and tells of the work.
        items: of a trial.

    Raises:
        BudgetSpentError: no further plan may be tried.
    """

    def evaluate(plan: Plan) -> Trial:
        job.meter.check(log.evaluations)
        what = "tensors float again" if plan.float_tensors else "all layers repaired"
        with job.clock.stage(SEARCH, items, what) as progress:
            return log.trial(plan, progress)

    if all_int8.accepted:
        return (all_int8,)
    models.forms.update(repairs())
    return climb(all_int8, models.repaired, evaluate, tensors=bool(models.form(all_int8.plan).tensors))


def try_plans(start: Trial, ranking: Ranking, strategy: Strategy, log: TrialLog, *, job: Context, items: int) -> None:
    """Try the plans that a strategy proposes; what stopped it, if anything, is in the job's meter.

    Args:
        start: the trial of the plan to fall back from.
        ranking: of its layers.
        strategy: proposes plans.
        log: makes trials.
        job: has the budget, and tells of the work.
        items: of a trial.
    """
    if start.accepted:
        logger.info("The model satisfy the requirement after all layers are quantized, automatic calibration succeed!")
        if not StrategyNeeds.of(strategy).always:
            return
    most = strategy.most_trials(len(ranking.layers))
    with job.clock.stage(SEARCH, most * items, f"at most {most} plans") as progress:
        search(start, ranking, strategy, log, job.meter, items=items, progress=progress)
    if job.meter.stopped is not None:
        logger.info("The search was stopped (%s) after %d plans.", job.meter.stopped, len(log))
    elif log.result().best is None:
        logger.info(
            "No quantized model are generated due to all quant layers are roll backed, "
            "the accuracy target may be too difficult to achieve."
        )
    else:
        logger.info("Fine search finish, automatic calibration succeed!")
