"""From the plan with every layer int8 to the chosen one: repairs, then what the strategy proposes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from runner.events import SEARCH
from runner.modes.scoring.attempts import Attempts
from runner.record import QuantizedLayers
from runner.search.budget import Meter
from runner.search.driver import goes_on, in_full, search
from runner.search.ladder import climb
from runner.search.plan import Plan, Ranking, Stopped, Strategy, Trial

logger = logging.getLogger(__name__)


def try_repairs(
    all_int8: Trial, repairs: Callable[[], Mapping[str, QuantizedLayers]], attempts: Attempts, meter: Meter, items: int
) -> tuple[Trial, ...]:
    """Return the trials of the plans in which no layer falls back, ``all_int8`` first.

    Args:
        all_int8: the trial of the plan without repairs.
        repairs: gives stronger forms by treatment, where ``all_int8`` is refused.
        attempts: runs trials.
        meter: of the job.
        items: of a trial.

    Raises:
        BudgetSpentError: no further plan may be tried.
    """

    def evaluate(plan: Plan) -> Trial:
        meter.check(attempts.evaluations)
        what = "tensors float again" if plan.float_tensors else "all layers repaired"
        with attempts.stages.stage(SEARCH, items, what) as progress:
            return attempts.run(plan, progress)

    if all_int8.accepted:
        return (all_int8,)
    attempts.trials.forms |= repairs()
    tensors = bool(attempts.trials.form(all_int8.plan).tensors)
    return climb(all_int8, attempts.trials.repaired, evaluate, tensors=tensors)


def try_plans(
    start: Trial,
    ranking: Ranking,
    strategy: Strategy,
    attempts: Attempts,
    meter: Meter,
    items: int,
) -> Stopped | None:
    """Try the plans that a strategy proposes; return what stopped it, if anything.

    Args:
        start: the trial of the plan to fall back from.
        ranking: of its layers.
        strategy: proposes plans.
        attempts: runs trials.
        meter: of the job.
        items: of a trial.
    """
    if start.accepted:
        logger.info("The model satisfy the requirement after all layers are quantized, automatic calibration succeed!")
        if not goes_on(strategy):
            return None
    most = strategy.most_trials(len(ranking.layers))
    score = attempts.run if in_full(strategy) == "all" else attempts.run_early
    made = reached = 0
    with attempts.stages.stage(SEARCH, most * items, f"at most {most} plans") as progress:

        def evaluate(plan: Plan) -> Trial:
            nonlocal made
            meter.check(attempts.evaluations)
            done, made = made * items, made + 1

            def scored(count: int) -> None:
                nonlocal reached
                meter.check()
                reached = done + count
                progress(reached)

            return score(plan, scored)

        def confirm(plan: Plan) -> Trial:
            done = reached
            return attempts.run(plan, lambda scored: progress(min(most * items, done + scored)))

        found = search(start, ranking, strategy, evaluate, confirm=confirm)
    if found.stopped is not None:
        logger.info("The search was stopped (%s) after %d plans.", found.stopped, len(found.trials))
    elif found.best is None:
        logger.info(
            "No quantized model are generated due to all quant layers are roll backed, "
            "the accuracy target may be too difficult to achieve."
        )
    else:
        logger.info("Fine search finish, automatic calibration succeed!")
    return found.stopped
