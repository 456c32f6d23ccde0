"""The rungs before falling back: every layer stays int8, in a repaired form, in the end with float tensors between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.search.plan import Plan, Trial


def climb(
    all_int8: Trial, repairs: Iterable[str], evaluate: Callable[[Plan], Trial], *, tensors: bool = False
) -> tuple[Trial, ...]:
    """Return the trial of the plan that falls back from, last, after those of the plans that were no better.

    Args:
        all_int8: the trial of the plan without repairs.
        repairs: treatments to try, the gentlest first; the first that is accepted ends the climb.
        evaluate: scores a plan in full.
        tensors: whether tensors are rounded for nodes that are no layers. They cost no multiply-accumulates, so they are
            made float before any layer is.
    """
    trials = [all_int8]
    for repair in repairs:
        if trials[-1].accepted:
            break
        trials.append(evaluate(all_int8.plan.with_repair(repair)))
    if tensors and not trials[-1].accepted:
        trials.append(evaluate(starting_plan(trials).plan.with_float_tensors()))
    return tuple(trials)


def starting_plan(trials: Iterable[Trial]) -> Trial:
    """Return the trial to fall back from: an accepted one, else that of the least loss, the latest among equals."""
    return min(reversed(list(trials)), key=lambda trial: (not trial.accepted, trial.loss))
