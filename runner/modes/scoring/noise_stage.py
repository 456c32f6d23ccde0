"""Noise along a network: what it depends on, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from runner.calibration import layer_by_layer
from runner.convert import fake_quant
from runner.layer_noise import along
from runner.layer_noise.along import NoiseAlong
from runner.layer_noise.partly import Part
from runner.layer_noise.spread import LayerSpread, Spread
from runner.record import QuantizedLayers
from runner.session import REFERENCE
from runner.store.stage import Codec, Stage
from runner.store.store import Entry

_ARRAYS = ("counts", "channels", "limits")


@dataclass(frozen=True, slots=True)
class NoiseInputs:
    """What the noise along a network depends on.

    Attributes:
        graph: digest of the float model that runs.
        quantized_layers: those that are int8.
        all_int8_layers: the form that every layer has in int8.
        some_items: digest of the contents of the items that are looked at.
        parts: what is rounded at a time.
        worst: layers whose values are looked at.
        most: of them.
    """

    graph: str
    quantized_layers: QuantizedLayers
    all_int8_layers: QuantizedLayers
    some_items: str
    parts: tuple[Part, ...]
    worst: tuple[str, ...]
    most: int


def _encode(noise: NoiseAlong) -> Entry:
    arrays: dict[str, NDArray[Any]] = {"own": noise.own, **{f"part/{part}": of for part, of in noise.parts.items()}}
    spreads = []
    for number, layer in enumerate(noise.spreads):
        told: dict[str, Any] = {"layer": layer.layer}
        for which, spread in (("input", layer.input), ("weight", layer.weight)):
            if spread is not None:
                told[which] = [spread.low, spread.high, spread.below, spread.above]
                arrays |= {f"{number}/{which}/{name}": getattr(spread, name) for name in _ARRAYS}
        spreads.append(told)
    values = {"layers": list(noise.layers), "parts": list(noise.parts), "items": noise.items, "spreads": spreads}
    return Entry(values, arrays)


def _decode(entry: Entry) -> NoiseAlong:
    values, arrays = entry.values, entry.arrays
    spreads = tuple(
        LayerSpread(
            str(told["layer"]), *(_spread(told, which, arrays, f"{number}/{which}") for which in ("input", "weight"))
        )
        for number, told in enumerate(values["spreads"])
    )
    parts: dict[Part, NDArray[Any]] = {part: arrays[f"part/{part}"] for part in values["parts"]}
    return NoiseAlong(tuple(values["layers"]), parts, arrays["own"], int(values["items"]), spreads)


def _spread(told: Mapping[str, Any], which: str, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Spread | None:
    if which not in told:
        return None
    low, high, below, above = told[which]
    counts, channels, limits = (arrays[f"{prefix}/{name}"] for name in _ARRAYS)
    return Spread(float(low), float(high), counts, int(below), int(above), channels, limits)


NOISE: Stage[NoiseInputs, NoiseAlong] = Stage(
    "noise from layer to layer, and the values of the worst layers",
    NoiseInputs,
    Codec(_encode, _decode),
    through=(along, layer_by_layer, fake_quant),
    profile=REFERENCE,
)
