"""Pictures of what each layer does to the outputs, or suffers on its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from runner.figure import Block, Picture, Section
from runner.modes.result import AccAutoResult
from runner.report.charts.layer_bars import LayerBar, Measure, bars_along, worst_by_name, worst_first
from runner.report.sections.sentences import sentences
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.plan import Ranking
from runner.search.sensitivity import Cosine, MeanSquaredError, SignalToNoise
from runner.wording import listed, say

_FEW = 3


@dataclass(frozen=True, slots=True)
class _Kind:
    """How values of a sensitivity are drawn: the larger the worse."""

    measure: Measure
    drawn: Callable[[float], float]


_PERCENT = Measure(say("noise / signal of its own output"), "{:.3g} %", "log")
_KINDS: Mapping[type, _Kind] = {
    Cosine: _Kind(Measure(say("1 - cosine of its own output"), "{:.2g}", "log"), lambda value: 1 - value),
    MeanSquaredError: _Kind(Measure(say("mean squared error of its own output"), "{:.2g}", "log"), lambda value: value),
    SignalToNoise: _Kind(_PERCENT, lambda db: 100 * 10 ** (-db / 20)),
}


def sensitivity(result: AccAutoResult) -> Section:
    """Return the section; empty where layers were not looked at."""
    blocks: list[Block] = []
    float_layers = frozenset(result.fallback)
    names = [layer.name for layer in result.found.layers]
    if result.loss_contributions is not None:
        blocks += _contributed(result.loss_contributions, names, float_layers)
    if result.ranking.entries and not isinstance(result.sensitivity, EndToEnd):
        blocks += _own(result.ranking, _KINDS.get(type(result.sensitivity)), names, float_layers)
    heading = say("Which layers do the damage") if blocks else ""
    return Section(name="sensitivity", heading=heading, place="pictures", blocks=blocks)


def _contributed(measured: LossContributions, names: Sequence[str], float_layers: frozenset[str]) -> list[Block]:
    """Return the pictures of what comes back where a layer alone is left float."""
    groups = {name: (group, value) for group, value in measured.groups for name in group.layers}
    bars = []
    for name in names:
        if name in groups:
            group, value = groups[name]
            share = 100 * measured.share(value)
            told = say("{share:.3g} % of the damage", share=share)
            if group.layers[1:]:
                told = say(
                    "{told}\ntogether with {others}", told=told, others=listed([n for n in group.layers if n != name])
                )
            bars.append(LayerBar(name, share, name in float_layers, told))
    measure = Measure(say("damage that goes with it ({measure})", measure=measured.measure), "{:.3g} %")
    reading = say(
        "What part of the damage at the model's outputs goes when this layer alone is left float, measured on {items} item(s). "
        "Parts need not add up to 100 %, and one below 0 makes good what others do.",
        items=len(measured.items),
    )
    return _pictures(bars, measure, [reading])


def _own(ranking: Ranking, kind: _Kind | None, names: Sequence[str], float_layers: frozenset[str]) -> list[Block]:
    """Return the pictures of what int8 does to each layer's own output."""
    values = dict(ranking.entries)
    if kind is None:
        # A measure of the user's own: the first entry is the worst.
        ascending = ranking.entries[0][1] < ranking.entries[-1][1]
        best = ranking.entries[-1][1]
        kind = _Kind(Measure(say("sensitivity")), (lambda value: best - value) if ascending else (lambda value: value))
    bars = [
        LayerBar(
            name, kind.drawn(values[name]), name in float_layers, say("sensitivity {value:.6g}", value=values[name])
        )
        for name in names
        if name in values
    ]
    reading = [
        say(
            "What int8 does to each layer's own output while all before it is float, whatever becomes of it further down; a "
            "layer that is high here may do no harm at the outputs."
        )
    ]
    if kind.measure.scale == "log":
        reading.append(say("The scale is logarithmic."))
    return _pictures(bars, kind.measure, reading)


def _pictures(bars: Sequence[LayerBar], measure: Measure, reading: Sequence[str]) -> list[Block]:
    if not bars:
        return []
    told = list(reading)
    if any(bar.is_float for bar in bars):
        told.append(say("What is hollow, above a yellow mark, is a layer that the result leaves float."))
    told.append(_striking(worst_first(bars)))
    blocks: list[Block] = [sentences(told), Picture(lambda: bars_along(bars, measure), shows=measure.title)]
    if len(bars) > _FEW and worst_first(bars):
        shows = say("{measure}: the worst layers", measure=measure.title)
        blocks.append(Picture(lambda: worst_by_name(bars, measure), shows=shows))
    return blocks


def _striking(worst: Sequence[LayerBar]) -> str:
    """Return what stands out."""
    if not worst:
        return say("No layer stands out: leaving any of them float brings nothing back.")
    first = worst[0]
    if len(worst) > 1 and math.isfinite(first.value) and first.value > 2 * worst[1].value:
        return say("One layer stands out: {layer}.", layer=first.layer)
    return say("The worst: {layers}.", layers=listed([bar.layer for bar in worst[:_FEW]]))
