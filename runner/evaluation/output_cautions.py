"""What a user should know of the float model's outputs before figures are made of them."""

from __future__ import annotations

from collections.abc import Sequence

from runner.dataset.finite import not_finite_in
from runner.dataset.subset import Subset
from runner.evaluation.distance import Sqnr
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import refuse_item_at_fault
from runner.evaluation.output_facts import ItemFacts
from runner.wording import say


def nan_cautions(facts: Sequence[ItemFacts], items: Subset, *, decides: bool) -> tuple[str, ...]:
    """Return a warning of each output that holds NaN for an item.

    Args:
        facts: of each item's outputs, all of them or the first.
        items: the items.
        decides: whether figures of them decide.

    Raises:
        DatasetError: the item is not finite itself, and its figures decide.
    """
    found: list[str] = []
    dataset, indices = items.dataset, items.indices
    for name in next(iter(facts), {}):
        spoilt = [index for index, item in zip(indices, facts, strict=False) if item[name].has_nan]
        if spoilt:
            # Also where another job, whose metric was not to decide, made these outputs and kept them.
            for index in spoilt if decides else ():
                refuse_item_at_fault(dataset, index, name)
            bad = not_finite_in(dataset, spoilt[0])
            why = say("A Log, Sqrt or Div of values that it is not made for gives it.")
            if bad is not None:
                why = say("That item itself holds {bad} that are NaN or infinite.", bad=bad)
            told = say(
                "the float model's output '{name}' holds NaN for {count} of {total} items, first {first}; NaN in the same "
                "places counts as equal. {why}",
                name=name,
                count=len(spoilt),
                total=len(indices),
                first=dataset.name(spoilt[0]),
                why=why,
            )
            found.append(told)
    return tuple(found)


def no_signal_cautions(headline: Metric, facts: Sequence[ItemFacts]) -> tuple[str, ...]:
    """Return a warning of each output that decides by its SQNR and is 0 in the float model."""
    if not isinstance(headline, Sqnr):
        return ()
    judged = [headline.output] if headline.output is not None else list(next(iter(facts), {}))
    return tuple(
        say(
            "the float model's output '{name}' is 0 for all {count} items: noise has no signal there to be held against, and "
            "any at all counts as 0 dB. metric.output=NAME judges another output, metric=mse needs no signal.",
            name=name,
            count=len(facts),
        )
        for name in judged
        if not any(item[name].holds_labels or item[name].has_signal for item in facts)
    )
