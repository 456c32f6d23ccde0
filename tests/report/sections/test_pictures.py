"""What is said beside the pictures, and when there are any."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runner.figure import Section
from runner.layer_noise.along import NoiseAlong
from runner.layer_noise.spread import LayerSpread, input_spread, weight_spread
from runner.modes.result import AccAutoResult
from runner.report.sections.noise import noise
from runner.report.sections.sensitivity import sensitivity
from runner.report.sections.worst_layers import worst_layers
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.plan import LayerGroup, Ranking
from runner.search.sensitivity import Cosine, MeanSquaredError, SignalToNoise


def words(section: Section) -> str:
    """Return the text of the paragraphs."""
    return " ".join("".join(map(str, b.parts)) for b in section.blocks if b.shape == "paragraph")


def drawn(section: Section) -> list[str]:
    """Return the pictures, those of exhibits too."""
    pictures = [b for b in section.blocks if b.shape == "picture"]
    pictures += [p for b in section.blocks if b.shape == "exhibits" for item in b.items for p in item.pictures]
    return [p.svg() if callable(p.svg) else p.svg for p in pictures]


def names(result: AccAutoResult) -> list[str]:
    return [layer.name for layer in result.found.layers]


def contributed(result: AccAutoResult, shares: Sequence[float]) -> LossContributions:
    groups = tuple((LayerGroup((n,), 1), s) for n, s in zip(names(result), shares, strict=True))
    return LossContributions("kl", (0, 3), 1.0, groups)


def test_contributions_are_drawn_of_every_layer_and_what_stands_out_is_named(job: dict[str, AccAutoResult]) -> None:
    result = replace(
        job["met"], sensitivity=EndToEnd(), loss_contributions=contributed(job["met"], [0.1, 0.7, 0.2, -0.1])
    )
    section = sensitivity(result)
    layers = names(result)
    assert f"One layer stands out: {layers[1]}." in words(section) and "2 item(s)" in words(section)
    along, named = drawn(section)
    assert [int(n) for n in re.findall(r"<title>(\d+): ", along)] == [1, 2, 3, 4]
    assert "70 % of the damage" in along and named.index(layers[1]) < named.index(layers[2])
    even = replace(result, loss_contributions=contributed(result, [0.3, 0.4, 0.2, 0.3]))
    assert f"The worst: {layers[1]}, {layers[0]}, {layers[3]}." in words(sensitivity(even))
    good = replace(result, loss_contributions=contributed(result, [-0.3, 0.0, -0.2, 0.0]))
    assert "No layer stands out" in words(sensitivity(good)) and len(drawn(sensitivity(good))) == 1


class Own:
    """A measure of a user's own; smaller is worse."""


@pytest.mark.parametrize(
    ("measure", "values", "title"),
    [
        (Cosine(), [0.9, 0.99, 0.999, 1.0], "1 - cosine"),
        (MeanSquaredError(), [0.4, 0.3, 0.2, 0.0], "mean squared error"),
        (SignalToNoise(), [10.0, 20.0, 30.0, 300.0], "noise / signal"),
        (Own(), [1.0, 2.0, 3.0, 4.0], "sensitivity"),
    ],
)
def test_worst_layer_of_any_measure_is_the_highest(
    measure: Any, values: list[float], title: str, job: dict[str, AccAutoResult]
) -> None:
    layers = names(job["met"])
    ranking = Ranking(tuple(zip(layers, values, strict=True)))
    section = sensitivity(replace(job["met"], ranking=ranking, sensitivity=measure, loss_contributions=None))
    along, named = drawn(section)
    assert title in along and named.index(f">{layers[0]}<") < named.index(f">{layers[1]}<")
    assert layers[0] in words(section)


def test_layers_that_nobody_looked_at_have_no_pictures(job: dict[str, AccAutoResult]) -> None:
    blind = replace(job["met"], ranking=Ranking(()), loss_contributions=None, noise=None)
    for section in (sensitivity(blind), noise(blind), worst_layers(blind)):
        assert (section.heading, list(section.blocks)) == ("", [])


def seen(result: AccAutoResult, both: Sequence[float], **parts: Sequence[float]) -> NoiseAlong:
    arrays = {name: np.array(values) for name, values in {**parts, "both": both}.items()}
    return NoiseAlong(tuple(names(result)), arrays, np.full(4, 1e-5), 3)


def test_where_noise_jumps_and_comes_from_is_said(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    looked = seen(result, [1e-4, 1e-4, 1e-2, 1e-3], weights=[1e-5] * 4, activations=[1e-3] * 4)
    told = words(noise(replace(result, noise=looked)))
    assert f"The noise jumps at {names(result)[2]}: 20.0 dB more" in told
    assert "At the last layer it is 30.0 dB below the signal, 3.2 % of it." in told
    assert "comes from the activations" in told and "on 3 item(s)" in told and "do less" not in told
    fitted = seen(result, [1e-4] * 4, weights=[1e-4] * 4, activations=[1.5e-4] * 4)
    told = words(noise(replace(result, noise=fitted)))
    assert "Both do less than the activations alone" in told and "comes from" not in told


@pytest.mark.parametrize(
    ("both", "said"),
    [
        ([0.0] * 4, "Nothing is changed."),
        ([math.nan] * 4, "Nothing is changed."),
        ([1e-4, math.nan, 1e-4, 1.1e-4], "39.6 dB below"),
    ],
)
def test_noise_without_a_jump_says_none(both: list[float], said: str, job: dict[str, AccAutoResult]) -> None:
    section = noise(replace(job["met"], noise=seen(job["met"], both)))
    assert said in words(section) and "jumps" not in words(section) and len(drawn(section)) == 1


def test_clipped_values_and_narrow_channels_are_told(job: dict[str, AccAutoResult]) -> None:
    values = np.linspace(-3, 3, 1000, dtype=np.float32).reshape(1, 1, 1000) * np.array(
        [[[1.0], [0.05], [0.04]]], np.float32
    )
    read = input_spread(values, 1, 4 / 255, 0)
    weight = weight_spread(
        np.tile(np.linspace(-1, 1, 5, dtype=np.float32), (2, 1)), np.array([1 / 127], np.float32), 127
    )
    spreads = (LayerSpread(names(job["met"])[0], read, weight), LayerSpread("<gone>", read, None))
    looked = replace(seen(job["met"], [1e-4] * 4), spreads=spreads)
    section = worst_layers(replace(job["met"], noise=looked))
    first, second = section.blocks[1].items
    assert (len(first.pictures), len(second.pictures)) == (4, 2)
    said = " ".join("".join(map(str, line)) for line in first.lines)
    beyond = float(((values < -128 * 4 / 255) | (values > 127 * 4 / 255)).mean())
    assert f"Clipped of its input: {beyond:.2%}. It goes from -3 to 3, int8 from -2.01 to 1.99." in said
    assert "Half of the 3 channels of its input have 19 of 256 codes or fewer" in said
    assert "its weight" not in said and first.pictures[2].shows == "Values of its weight: nothing clipped"
    assert all("<gone>" not in svg for svg in drawn(section))
