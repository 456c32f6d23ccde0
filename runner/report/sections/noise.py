"""Pictures of the noise along the network, and of the values that the worst layers round."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runner.figure import Block, Paragraph, Picture, Section
from runner.layer_noise.along import NoiseAlong
from runner.layer_noise.partly import Part
from runner.modes.result import ConvertResult, JobResult
from runner.report.charts.noise_lines import NoiseLine, noise_lines

_NAMES: Mapping[Part, str] = {"weights": "weights", "activations": "activations", "both": "both"}
# A rise of the noise, in dB from the layer before, that is worth a word; and so much more of one part than of the other.
_JUMP, _CLEARLY = 2.0, 3.0


def noise(result: JobResult) -> Section:
    """Return the section; empty where nobody looked."""
    seen = result.noise
    if seen is None or not len(seen.layers):
        return Section(name="noise")
    lines = [NoiseLine("layer alone", "own", list(seen.own))]
    lines += [NoiseLine(_NAMES[part], part, list(of_part)) for part, of_part in seen.parts.items()]
    float_layers = frozenset(result.fallback)
    blocks: list[Block] = [
        Paragraph((_told(result, seen),)),
        Picture(noise_lines(seen.layers, lines, float_layers, named=_jump(seen)), shows="noise along the network"),
    ]
    return Section(name="noise", heading="Noise along the network", blocks=blocks)


def _told(result: JobResult, seen: NoiseAlong) -> str:
    items = f"{len(seen.layers)} layers, {seen.items} item{'s' if seen.items > 1 else ''}"
    reading = (
        f"How far the values at each layer's output are from the float model's ({items}): up is worse, 20 dB are 10 % of the "
        "signal. Lines are of the model with its weights alone in int8, its activations alone, and both; dots are what a layer "
        "adds by itself, with all before it in float. "
    )
    if isinstance(result, ConvertResult):
        reading = (
            f"How far the values at each layer's output are from those of the source without its quantizers ({items}): up is "
            "worse, 20 dB are 10 % of the signal. Training has counted on this noise; dots are what a layer adds by itself. "
            "Weights and activations apart would tell nothing: they were trained together. "
        )
    return reading + _striking(seen)


def _jump(seen: NoiseAlong) -> int | None:
    """Return the index of the layer at which the noise rises most over the layer before; None where it hardly does."""
    levels = _levels(seen.parts["both"])
    known = np.flatnonzero(np.isfinite(levels))
    rises = np.diff(levels[known])
    return int(known[rises.argmax() + 1]) if len(rises) and rises.max() >= _JUMP else None


def _striking(seen: NoiseAlong) -> str:
    """Return where the noise rises, and which part of it is the larger."""
    levels, jump = _levels(seen.parts["both"]), _jump(seen)
    known = np.flatnonzero(np.isfinite(levels))
    if not len(known):
        return "Nothing is changed."
    said = []
    if jump is not None:
        before = levels[known[known < jump][-1]]
        said.append(
            f"The noise jumps at {seen.layers[jump]}: {levels[jump] - before:.1f} dB more than at the layer before."
        )
    end = levels[known[-1]]
    said.append(f"At the last layer it is {-end:.1f} dB, {100 * 10 ** (end / 20):.2g} % of the signal.")
    if {"weights", "activations"} <= set(seen.parts):
        apart = _levels(seen.parts["activations"])[known[-1]] - _levels(seen.parts["weights"])[known[-1]]
        if math.isfinite(apart) and abs(apart) > _CLEARLY:
            said.append(f"Most of it there comes from the {'activations' if apart > 0 else 'weights'}.")
    return " ".join(said)


def _levels(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = 10 * np.log10(ratios)
    return levels
