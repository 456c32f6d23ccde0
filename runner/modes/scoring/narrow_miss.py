"""Whether the plan with every layer int8 was refused by less than its items can tell."""

from __future__ import annotations

from runner.evaluation.judge import Judge
from runner.evaluation.scorer import Scorer
from runner.modes.scoring.final_figure import interval_of
from runner.search.plan import SearchResult, closest_of
from runner.search.trial_log import TrialLog


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
    float_layers = 0 if found.best is None else len(found.best.plan.fallback)
    what = "no plan meets it" if found.best is None else f"{float_layers} layers are left float for it"
    return [
        f"with every layer int8 the loss is {all_int8.loss:.4g} {judge.unit}, which misses target_loss={judge.target:g} by "
        f"less than the {len(scorer.items)} items can tell ({interval.said()}); {what}, which may be chance. More items would "
        "tell."
    ]
