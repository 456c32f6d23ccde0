"""Whether the plan with every layer int8 was refused by less than its items can tell."""

from __future__ import annotations

from runner.evaluation.judge import Judge
from runner.evaluation.scorer import Scorer
from runner.modes.scoring.final_figure import interval_of
from runner.search.plan import SearchResult, closest_of
from runner.search.trial_log import TrialLog
from runner.wording import recalled, say


def narrow_miss(found: SearchResult, log: TrialLog, judge: Judge, scorer: Scorer, *, seed: int) -> list[str]:
    """Return a warning where layers are float, or no plan was accepted, for what may be chance.

    Args:
        found: what the search found.
        log: has the trials' verdicts.
        judge: gave them.
        scorer: over the items of the search.
        seed: of the interval's bootstrap.
    """
    tried = [trial for trial in found.trials if trial.full and not trial.plan.fallback]
    if judge.target is None or not tried or any(trial.accepted for trial in tried):
        return []
    all_int8 = closest_of(tried)
    scores = log.verdict(all_int8.plan).evaluation
    if scores is None:
        return []
    interval = interval_of(scorer, scores, judge.target, seed)
    if interval.verdict(judge.target) != "undecided":
        return []
    what = say("no plan meets it")
    if found.best is not None:
        what = say("{count} layers are left float for it", count=len(found.best.plan.fallback))
    return [
        say(
            "with every layer int8 the loss is {loss:.4g} {unit}, which misses target_loss={target:g} by less than the {items} "
            "items can tell ({interval}); {what}, which may be chance. More items would tell.",
            loss=all_int8.loss,
            unit=recalled(judge.unit),
            target=judge.target,
            items=len(scorer.items),
            interval=interval.said(),
            what=what,
        )
    ]
