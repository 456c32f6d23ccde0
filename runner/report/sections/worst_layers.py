"""Pictures of what the worst layers round: histograms with what int8 clips, and the range of each channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runner.figure import Exhibit, Exhibits, Part, Picture, Section
from runner.layer_noise.spread import LayerSpread, Spread
from runner.modes.result import JobResult
from runner.report.charts.channel_ranges import channel_ranges
from runner.report.charts.histogram import histogram
from runner.report.sections.sentences import sentences
from runner.wording import say

_CODES = 256
# Half of the channels have no more codes than this: it is worth a word.
_FEW_CODES = 64


def worst_layers(result: JobResult) -> Section:
    """Return the section; empty where nobody looked."""
    spreads = result.noise.spreads if result.noise is not None else ()
    if not spreads:
        return Section(name="worst_layers")
    reading = [
        say(
            "What the layers that do most damage have to round. A histogram is as high as the logarithm of how many values lie "
            "there; red lines are the ends of what int8 can say, and what lies beyond is clipped."
        ),
        say(
            "A band goes from the least to the most of each channel, the widest first: where it is narrow between the red "
            "lines, a channel has few codes left for it."
        ),
    ]
    exhibits = Exhibits([_exhibit(spread, result.fallback) for spread in spreads])
    return Section(
        name="worst_layers",
        heading=say("What the worst layers round"),
        place="pictures",
        blocks=(sentences(reading), exhibits),
    )


def _exhibit(spread: LayerSpread, float_layers: tuple[str, ...]) -> Exhibit:
    title: list[Part] = [spread.layer]
    if spread.layer in float_layers:
        title += [" ", say("(left float: what int8 would do)")]
    pictures, lines = list[Picture](), list[list[Part]]()
    for what, of_what in ((say("its input"), spread.input), (say("its weight"), spread.weight)):
        if of_what is not None:
            pictures += _pictures(of_what, what)
            lines += [[sentence] for sentence in _striking(of_what, what)]
    return Exhibit(title, pictures, lines)


def _pictures(spread: Spread, what: str) -> Iterator[Picture]:
    told = say("Values of {what}: {share} clipped", what=what, share=_share(spread.clipped))
    yield Picture(lambda: histogram(spread, what), shows=told)
    yield Picture(lambda: channel_ranges(spread, what), shows=say("Channels of {what}", what=what))


def _striking(spread: Spread, what: str) -> Iterator[str]:
    """Yield what stands out of the values."""
    least, most = float(spread.channels[0].min()), float(spread.channels[1].max())
    if spread.below or spread.above:
        ends = say("int8 from {low:.3g} to {high:.3g}", low=spread.low, high=spread.high)
        if spread.limits.shape[1] > 1:
            ends = say("the widest channel in {ends}, each other one as far as its own scale lets it", ends=ends)
        yield say(
            "Clipped of {what}: {share}. It goes from {least:.3g} to {most:.3g}, {ends}.",
            what=what,
            share=_share(spread.clipped),
            least=least,
            most=most,
            ends=ends,
        )
    widths = spread.channels[1] - spread.channels[0]
    codes = widths / (spread.limits[1] - spread.limits[0]) * (_CODES - 1)
    middle = float(np.median(codes))
    if len(widths) > 1 and middle < _FEW_CODES:
        yield say(
            "Half of the {channels} channels of {what} have {codes:.0f} of {all} codes or fewer to themselves.",
            channels=len(widths),
            what=what,
            codes=middle,
            all=_CODES,
        )


def _share(share: float) -> str:
    if share == 0:
        return say("nothing")
    return f"{share:.2%}" if share >= 1e-4 else say("less than 0.01 %")
