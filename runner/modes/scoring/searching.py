"""From the plan with every layer int8 to the chosen one: repairs, then what the strategy proposes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from runner.events import SEARCH
from runner.modes.context import Context
from runner.search.ladder import climb
from runner.search.needs import StrategyNeeds
from runner.search.plan import Plan, Ranking, Strategy, Trial
from runner.search.planned_models import Form, PlannedModels
from runner.search.restore_int8 import priced_groups
from runner.search.search import search
from runner.search.trial_log import TrialLog

logger = logging.getLogger(__name__)

# How many layer groups are left float, the worst first, before a repair is dropped; of models with some layers more.
_WORST = (1, 2, 4)
_FEW = 3


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


def reconsider(
    tried: Sequence[Trial], start: Trial, ranking: Ranking, log: TrialLog, *, job: Context, items: int
) -> Trial:
    """Return the trial to fall back from, once the layers are ranked: a repair may fail for the sake of a few layers.

    Repaired layers answer for what those before them give. One that is hopeless makes all behind it worse; with the worst
    float the repair may be better than the plan without it.

    Args:
        tried: the plans in which no layer falls back.
        start: the one of them of least loss.
        ranking: of its layers.
        log: makes trials.
        job: has the budget, and tells of the work.
        items: of a trial.

    Raises:
        BudgetSpentError: no further plan may be tried.
    """
    repaired = next((trial for trial in reversed(tried) if trial.plan.repaired), None)
    if start.accepted or start.plan.repaired or repaired is None or len(ranking.layers) < _FEW:
        return start
    worst = [group for name in ranking.layers for group in priced_groups(ranking) if name in group.layers]
    worst = list(dict.fromkeys(worst))
    for count in _WORST:
        left = repaired.plan.with_fallback(name for group in worst[:count] for name in group.layers)
        if count >= len(worst):
            break
        job.meter.check(log.evaluations)
        with job.clock.stage(SEARCH, items, f"repaired, the worst {count} float") as progress:
            trial = log.trial(left, progress)
        if trial.accepted or trial.loss < start.loss:
            return repaired
    return start


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


def try_last_resorts(
    start: Trial,
    resorts: Iterator[tuple[Strategy, Ranking]],
    log: TrialLog,
    *,
    job: Context,
    items: int,
) -> None:
    """Try other strategies, one after the other, until one of them has found a plan or the search is stopped.

    Args:
        start: the trial of the plan to fall back from.
        resorts: the strategies, each with its ranking.
        log: makes trials.
        job: has the budget, and tells of the work.
        items: of a trial.
    """
    while job.meter.stopped is None and log.result().best is None:
        # Only now is the next ranking made.
        strategy, ranking = next(resorts, (None, None))
        if strategy is None or ranking is None:
            return
        most = strategy.most_trials(len(ranking.layers))
        with job.clock.stage(SEARCH, most * items, f"another strategy, at most {most} plans") as progress:
            search(start, ranking, strategy, log, job.meter, items=items, progress=progress)


def tell_end(log: TrialLog, job: Context) -> None:
    """Log how the search ended, in AMCT's words."""
    if job.meter.stopped is not None:
        logger.info("The search was stopped (%s) after %d plans.", job.meter.stopped, len(log))
    elif log.result().best is None:
        logger.info(
            "No quantized model are generated due to all quant layers are roll backed, "
            "the accuracy target may be too difficult to achieve."
        )
    else:
        logger.info("Fine search finish, automatic calibration succeed!")
