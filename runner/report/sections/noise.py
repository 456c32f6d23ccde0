"""Pictures of the noise along the network, and of the values that the worst layers round."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from runner.figure import Block, Picture, Section
from runner.layer_noise.along import NoiseAlong
from runner.layer_noise.partly import PARTS, Part
from runner.modes.result import ConvertResult, JobResult
from runner.report.charts.noise_lines import NoiseLine, noise_lines
from runner.report.sections.sentences import sentences
from runner.rounded import rounded
from runner.wording import say

_NAMES: Mapping[Part, str] = {"weights": say("weights"), "activations": say("activations"), "both": say("both")}
# A rise of the noise, in dB from the layer before, that is worth a word; and so much more of one part than of the other.
_JUMP, _CLEARLY = 2.0, 3.0
# So many dB less than one part alone is no accident.
_LESS = 1.0


def noise(result: JobResult) -> Section:
    """Return the section; empty where nobody looked."""
    seen = result.noise
    if seen is None or not len(seen.layers):
        return Section(name="noise")
    lines = [NoiseLine(say("layer alone"), "own", list(seen.own))]
    lines += [NoiseLine(_NAMES[part], part, list(of_part)) for part, of_part in seen.parts.items()]
    float_layers = frozenset(result.fallback)
    blocks: list[Block] = [
        sentences([*_reading(result, seen), *_striking(seen)]),
        Picture(
            lambda: noise_lines(seen.layers, lines, float_layers, named=_jump(seen)),
            shows=say("noise along the network"),
        ),
    ]
    return Section(name="noise", heading=say("Noise along the network"), place="pictures", blocks=blocks)


def _reading(result: JobResult, seen: NoiseAlong) -> Iterator[str]:
    """Yield how the picture is read."""
    if isinstance(result, ConvertResult):
        yield say(
            "How far the values at each layer's output are from those of the source without its quantizers, on {items} "
            "item(s): up is worse, 20 dB are 10 % of the signal.",
            items=seen.items,
        )
        yield say(
            "Training has counted on this noise; dots are what a layer adds by itself. Weights and activations apart would "
            "tell nothing: they were trained together."
        )
        return
    yield say(
        "How far the values at each layer's output are from the float model's, on {items} item(s): up is worse, 20 dB are 10 % "
        "of the signal.",
        items=seen.items,
    )
    yield say(
        "Lines are of the model with its weights alone in int8, its activations alone, and both; dots are what a layer adds by "
        "itself, with all before it in float."
    )


def _jump(seen: NoiseAlong) -> int | None:
    """Return the index of the layer at which the noise rises most over the layer before; None where it hardly does."""
    levels = _levels(seen.parts["both"])
    known = np.flatnonzero(np.isfinite(levels))
    rises = np.diff(levels[known])
    return int(known[rises.argmax() + 1]) if len(rises) and rises.max() >= _JUMP else None


def _striking(seen: NoiseAlong) -> Iterator[str]:
    """Yield where the noise rises, and which part of it is the larger."""
    levels, jump = _levels(seen.parts["both"]), _jump(seen)
    known = np.flatnonzero(np.isfinite(levels))
    if not len(known):
        yield say("Nothing is changed.")
        return
    if jump is not None:
        by = levels[jump] - levels[known[known < jump][-1]]
        yield say(
            "The noise jumps at {layer}: {by:.1f} dB more than at the layer before.",
            layer=seen.layers[jump],
            by=float(by),
        )
    end = float(levels[known[-1]])
    yield say(
        "At the last layer it is {level:.1f} dB below the signal, {share} % of it.",
        level=-end,
        share=rounded(100 * 10 ** (end / 20), 2),
    )
    if {"weights", "activations"} <= set(seen.parts):
        yield from _of_parts(*(float(_levels(seen.parts[part])[known[-1]]) for part in PARTS))


def _of_parts(weights: float, activations: float, both: float) -> Iterator[str]:
    """Yield which part of the noise at the last layer is the larger."""
    if math.isfinite(weights - activations) and abs(weights - activations) > _CLEARLY:
        part = _NAMES["activations"] if activations > weights else _NAMES["weights"]
        yield say("Most of it there comes from the {part}.", part=part)
    if both < activations - _LESS:
        yield say(
            "Both do less than the activations alone: weights and biases have been fitted to what rounding does to these."
        )


def _levels(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = 10 * np.log10(ratios)
    return levels
