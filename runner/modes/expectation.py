"""Whether the float model does what is known of it; where it does not, its data reaches it in another form than in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runner.dataset.item import class_of
from runner.errors import ConfigError, DatasetError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Distance
from runner.evaluation.scorer import Scorer
from runner.modes.input_values import InputsSeen
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.wording import listed, say

# How likely a figure like this, or a better one, is by chance, before it is told from chance.
_LIKELY = 0.05
# AP, in percent, of a detector that finds anything at all.
_FINDS = 1.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """``expect``: what the float model is known to reach.

    Attributes:
        value: the deciding metric's figure, in the metric's own unit; None expects nothing.
        within: how far the figure may be from it.
    """

    value: float | None = None
    within: float = 1.0

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ConfigError(f"expect: expected a finite number, got {self.value}.")
        if not 0 <= self.within < math.inf:
            raise ConfigError(f"expect.within: expected 0 or more, got {self.within}.")


def check_expectation(expect: Expectation, metric: object) -> None:
    """Refuse an expectation that the float model meets by definition.

    Raises:
        ConfigError: the metric holds a model against the float model itself.
    """
    if expect.value is not None and isinstance(metric, Agreement | Distance):
        raise ConfigError(
            f"expect: {metric.name} holds a model against the float model, so it says nothing of the float model itself; "
            "expected a metric that is measured on labels, such as top1, with a label for every item."
        )


def require_figure(name: str, figure: float, scorer: Scorer) -> None:
    """Refuse data that gives the float model no figure, for nothing can be lost against it.

    Args:
        name: of the metric.
        figure: the float model's.
        scorer: against it.

    Raises:
        DatasetError: it is no finite number.
    """
    if math.isfinite(figure):
        return
    why = (
        "nothing in them can be judged, as no true box, no pixel that counts, no annotated value, no other item of a class"
        if math.isnan(figure)
        else "an answer, or what is true, is no finite number"
    )
    raise DatasetError(
        f"metric: the float model's {name} over the {len(scorer.items)} evaluation items is {figure}: {why}. Expected a "
        "finite number. Evaluate other items or more (evaluation.count, the dataset), mend their truths, or choose a metric "
        "that needs none: sqnr, mse, agreement."
    )


def require_expected(expect: Expectation, name: str, figure: float, seen: InputsSeen, scorer: Scorer) -> None:
    """Refuse a float model whose figure is not the expected one.

    Args:
        expect: what is known of it.
        name: of the metric.
        figure: the float model's.
        seen: what reaches it.
        scorer: against it.

    Raises:
        DatasetError: the figure is further away than allowed; lists what to look at.
    """
    # Rounded, so that 88.6 is within 1 of 87.6.
    if expect.value is None or round(abs(figure - expect.value), 9) <= expect.within:
        return
    raise DatasetError(
        f"expect: the float model's {name} is {figure:.6g}, expected {expect.value:g} within {expect.within:g} "
        f"(expect.within). {_what_to_look_at(seen, scorer)}"
    )


def chance_caution(seen: InputsSeen, scorer: Scorer) -> list[str]:
    """Return a warning where a classifier's float figure is what guessing gives, or a detector finds next to nothing."""
    headline = next(iter(scorer.metrics), None)
    if isinstance(headline, MeanAveragePrecision):
        return _nothing_found(headline, seen, scorer)
    metric = next((metric for metric in scorer.metrics if isinstance(metric, TopK)), None)
    if metric is None or scorer.classes is None or metric.k >= scorer.classes.classes:
        return []
    items, classes = len(scorer.items), scorer.classes.classes
    hits, chance = int(scorer.float_scores.scores[metric.name].sum()), metric.k / classes
    # A few items tell nothing of a good model: half-way to perfect is not called chance.
    if hits >= items * (1 + chance) / 2 or at_least(hits, items, chance) <= _LIKELY:
        return []
    return [
        say(
            "the float model's {metric} of {figure:.4g} over {items} items is no better than chance ({chance:.4g} with "
            "{classes} classes), so what is lost against it says little. {look}",
            metric=metric.name,
            figure=100 * hits / items,
            items=items,
            chance=100 * chance,
            classes=classes,
            look=_what_to_look_at(seen, scorer),
        )
    ]


def _nothing_found(metric: MeanAveragePrecision, seen: InputsSeen, scorer: Scorer) -> list[str]:
    figure = metric.aggregate(scorer.float_scores.scores[metric.name])
    if not figure < _FINDS:
        return []
    return [
        say(
            "the float model's {metric} is {figure:.3g} over {items} items: it finds next to nothing of what is true, so "
            "what is lost against it says little. {look} The postprocess may be another family's, too.",
            metric=metric.name,
            figure=figure,
            items=len(scorer.items),
            look=_what_to_look_at(seen, scorer),
        )
    ]


def batch_caution(seen: InputsSeen) -> list[str]:
    """Return a warning where items are repeated to fill a batch that the model fixes."""
    if seen.batch == 1:
        return []
    return [
        say(
            "the model fixes a batch of {batch}: each item is repeated to fill it, and the first row of the outputs counts. "
            "Export the model with a batch of 1 or an open one to save the work.",
            batch=seen.batch,
        )
    ]


def at_least(hits: int, items: int, chance: float) -> float:
    """Return the probability of so many hits or more among items that are each hit by chance (a binomial tail)."""
    log, log_not = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(items + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(whole - math.lgamma(k + 1) - math.lgamma(items - k + 1) + k * log + (items - k) * log_not)
            for k in range(hits, items + 1)
        ),
    )


def _what_to_look_at(seen: InputsSeen, scorer: Scorer) -> str:
    ranges = [
        say(
            "'{name}' holds {low:.4g} to {high:.4g}, mean {mean:.4g}",
            name=name,
            low=values.low,
            high=values.high,
            mean=values.mean,
        )
        for name, values in seen.values.items()
    ]
    offset = _offset(scorer) or say(", which may be offset by one")
    if not ranges:
        return say(
            "Look at how the data reaches the model: dataset.preprocess.mean, std and scale, channels (rgb or bgr), layout "
            "(nchw or nhwc), resize, crop and interpolation; and at the labels{offset}.",
            offset=offset,
        )
    return say(
        "Look at how the data reaches the model: dataset.preprocess.mean, std and scale (the input {ranges}), channels (rgb or "
        "bgr), layout (nchw or nhwc), resize, crop and interpolation; and at the labels{offset}.",
        ranges=listed(ranges, "; "),
        offset=offset,
    )


def _offset(scorer: Scorer) -> str:
    """Return what labels one larger or smaller would make of a classifier's answers, where that is far better."""
    labels = [class_of(scorer.items.dataset.label(index)) for index in scorer.items.indices]
    if scorer.float_scores.answers is None or scorer.classes is None or any(label is None for label in labels):
        return ""
    answers, items = scorer.float_scores.answers[:, 0].astype(int), len(labels)
    hits = {shift: _hits(answers, labels, shift) for shift in (0, 1, -1)}
    best = max((1, -1), key=lambda shift: hits[shift])
    if hits[best] < 2 * hits[0] or at_least(hits[best], items, 1 / scorer.classes.classes) > _LIKELY / 10:
        return ""
    share = 100 * hits[best] / items
    if best > 0:
        return say(": with each one larger by one, {share:.4g} % of the answers are right", share=share)
    return say(": with each one smaller by one, {share:.4g} % of the answers are right", share=share)


def _hits(answers: np.ndarray, labels: Sequence[int | None], shift: int) -> int:
    return int(np.sum(answers == np.array(labels, int) + shift))
