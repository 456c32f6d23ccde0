"""What equalization and balancing do to the channels of a layer's input."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from benchmarks.pictures.digits import calibrated, engine, items, model
from benchmarks.pictures.look import BLUE, GREY, ORANGE, panels
from runner.correction.channels import observe_channels
from runner.correction.cross_layer_equalization import Reader, best_exponents
from runner.graph.channel_readers import channel_weight
from runner.graph.cross_layer_equalization import find_links
from runner.graph.smoothing import weight_peaks

_DEPTHWISE = "block1/depthwise/Conv"
_STRENGTH = 0.5
# That a channel is taken to reach from its mean, as the product has it.
_DEVIATIONS = 6


def equalization() -> Figure:
    """Return the reach of a tensor's channels before and after scaling by powers of two."""
    found = model()
    link = next(link for link in find_links(found.graph) if link.readers == (_DEPTHWISE,))
    seen = observe_channels(
        found.graph,
        [(link.tensor, link.axis)],
        items("calibration"),
        readers={link.tensor: [_DEPTHWISE]},
        engine=engine(),
    )[(link.tensor, link.axis)]
    reader = Reader(channel_weight(found.node(_DEPTHWISE)))
    exponents = best_exponents(seen, [reader], link.interval)
    factors = np.exp2(exponents.astype(np.float64))
    spread = _DEVIATIONS * np.sqrt(np.maximum(seen.square - seen.mean**2, 0))
    reach = np.minimum(np.maximum(seen.high, seen.mean + spread), link.interval[1])
    order = np.argsort(-reach)
    figure, (before, after) = panels(2, high=2.8, sharey=True)
    for panel, by, colour, title in (
        (before, np.ones_like(factors), GREY, "as the model has it"),
        (after, factors, BLUE, f"times 2^k, k from {exponents.min()} to {exponents.max()}"),
    ):
        place = range(len(reach))
        panel.bar(place, (reach * by)[order], color=colour, alpha=0.35, label="taken to reach")
        panel.bar(place, (seen.high * by)[order], color=colour, label="seen")
        panel.set(xlabel="channel, widest first", title=title)
        panel.legend(fontsize=8, ncols=2, loc="upper right")
    before.set(ylabel="largest value", ylim=(0, 1.25 * float(reach.max())))
    return figure


def balancing() -> Figure:
    """Return the peaks of a layer's input channels and of the weights that meet them, before and after balancing."""
    state = calibrated()
    found, layer = state.model, state.model.layer(_DEPTHWISE)
    seen = observe_channels(
        found.graph, [(layer.input, 1)], items("calibration"), readers={layer.input: [_DEPTHWISE]}, engine=engine()
    )[(layer.input, 1)]
    weights = weight_peaks(found.node(_DEPTHWISE), layer)
    factors = seen.peaks**_STRENGTH / weights ** (1 - _STRENGTH)
    order = np.argsort(-seen.peaks)
    figure, (inputs, wide) = panels(2, high=2.8)
    for panel, peaks, by, what in (
        (inputs, seen.peaks, 1 / factors, "largest magnitude of the input"),
        (wide, weights, factors, "largest weight"),
    ):
        panel.plot(peaks[order], "o-", color=GREY, markersize=3, label="before")
        panel.plot((peaks * by)[order], "o-", color=ORANGE, markersize=3, label=f"strength {_STRENGTH:g}")
        panel.set(xlabel="input channel, widest first", title=what, yscale="log")
        panel.legend(fontsize=8)
    return figure
