"""Pictures of what the worst layers round: histograms with what int8 clips, and the range of each channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runner.figure import Exhibit, Exhibits, Paragraph, Part, Picture, Section
from runner.layer_noise.spread import LayerSpread, Spread
from runner.modes.result import JobResult
from runner.report.charts.channel_ranges import channel_ranges
from runner.report.charts.histogram import histogram

_CODES = 256
# Half of the channels have no more codes than this: it is worth a word.
_FEW_CODES = 64
_READING = (
    "What the layers that do most damage have to round. A histogram is as high as the logarithm of how many values lie there; "
    "red lines are the ends of what int8 can say, and what lies beyond is clipped. A band goes from the least to the most of "
    "each channel, the widest first: where it is narrow between the red lines, a channel has few codes left for it."
)


def worst_layers(result: JobResult) -> Section:
    """Return the section; empty where nobody looked."""
    spreads = result.noise.spreads if result.noise is not None else ()
    if not spreads:
        return Section(name="worst_layers")
    exhibits = Exhibits([_exhibit(spread, result.fallback) for spread in spreads])
    return Section(
        name="worst_layers", heading="What the worst layers round", blocks=(Paragraph((_READING,)), exhibits)
    )


def _exhibit(spread: LayerSpread, float_layers: tuple[str, ...]) -> Exhibit:
    title: list[Part] = [spread.layer]
    if spread.layer in float_layers:
        title.append(" (left float: what int8 would do)")
    pictures, lines = list[Picture](), list[list[Part]]()
    for what, of_what in (("its input", spread.input), ("its weight", spread.weight)):
        if of_what is not None:
            pictures += _pictures(of_what, what)
            lines += [[sentence] for sentence in _striking(of_what, what)]
    return Exhibit(title, pictures, lines)


def _pictures(spread: Spread, what: str) -> Iterator[Picture]:
    yield Picture(histogram(spread, what), shows=f"Values of {what}: {_share(spread.clipped)} clipped")
    yield Picture(channel_ranges(spread, what), shows=f"Channels of {what}")


def _striking(spread: Spread, what: str) -> Iterator[str]:
    """Yield what stands out of the values."""
    least, most = float(spread.channels[0].min()), float(spread.channels[1].max())
    if spread.below or spread.above:
        ends = f"int8 from {spread.low:.3g} to {spread.high:.3g}"
        if spread.limits.shape[1] > 1:
            ends = f"int8 in each channel as far as its own scale lets it, in the widest {ends.removeprefix('int8 ')}"
        yield f"Clipped of {what}: {_share(spread.clipped)}. It goes from {least:.3g} to {most:.3g}, {ends}."
    widths = spread.channels[1] - spread.channels[0]
    codes = widths / (spread.limits[1] - spread.limits[0]) * (_CODES - 1)
    middle = float(np.median(codes))
    if len(widths) > 1 and middle < _FEW_CODES:
        yield f"Half of the {len(widths)} channels of {what} have {middle:.0f} of {_CODES} codes or fewer to themselves."


def _share(share: float) -> str:
    if share == 0:
        return "nothing"
    return f"{share:.2%}" if share >= 1e-4 else "less than 0.01%"
