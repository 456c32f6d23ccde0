"""How the results of stages are kept in a store: plain values and arrays, back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.outputs import Outputs
from runner.graph.equalization import Exponents
from runner.graph.layers import LeftAlone
from runner.graph.macs import LayerCost
from runner.graph.pixels import Levels, Pixels
from runner.lint.finding import Finding
from runner.modes.files.write_models import ModelPair, Written
from runner.modes.input_values import InputsSeen, InputValues
from runner.modes.proof import DeviceMetric, Proof
from runner.modes.recipe import CalibrationResult
from runner.modes.result import Prediction
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.search.end_to_end import LossContributions
from runner.search.plan import LayerGroup, Ranking
from runner.store.remembered import Codec
from runner.store.store import Entry
from runner.verify.compare import Sameness


def _plain_entry(value: Any) -> Entry:  # noqa: ANN401 - whatever JSON holds
    return Entry(value)


NUMBER: Codec[float] = Codec(_plain_entry, lambda entry: float(entry.values))

INPUTS_SEEN: Codec[InputsSeen] = Codec(
    lambda seen: Entry(
        [seen.items, seen.batch, [[name, v.low, v.high, v.mean] for name, v in seen.values.items()]],
    ),
    lambda entry: InputsSeen(
        {str(name): InputValues(*map(float, figures)) for name, *figures in entry.values[2]},
        int(entry.values[0]),
        int(entry.values[1]),
    ),
)

# Without the groups, which follow from the form.
RANKING: Codec[Ranking] = Codec(
    lambda ranking: Entry([[name, float(value)] for name, value in ranking.entries]),
    lambda entry: Ranking(tuple((str(name), float(value)) for name, value in entry.values)),
)


def _decode_contributions(entry: Entry) -> LossContributions:
    values = entry.values
    groups = tuple((LayerGroup(tuple(layers), int(macs)), float(part)) for layers, macs, part in values["units"])
    return LossContributions(str(values["measure"]), tuple(values["items"]), float(values["total"]), groups)


LOSS_CONTRIBUTIONS: Codec[LossContributions] = Codec(
    lambda contributions: Entry(
        {
            "measure": contributions.measure,
            "items": list(contributions.items),
            "total": contributions.total,
            "units": [[list(group.layers), group.macs, part] for group, part in contributions.groups],
        }
    ),
    _decode_contributions,
)

PIXELS: Codec[Pixels] = Codec(
    lambda pixels: Entry({name: [levels.zero, levels.step, levels.lowest] for name, levels in pixels.items()}),
    lambda entry: {
        str(name): Levels(tuple(zero), tuple(step), int(lowest)) for name, (zero, step, lowest) in entry.values.items()
    },
)

EXPONENTS: Codec[Exponents] = Codec(
    lambda exponents: Entry({name: list(powers) for name, powers in exponents.items()}),
    lambda entry: {str(name): tuple(int(power) for power in powers) for name, powers in entry.values.items()},
)


def _encode_outputs(items: Sequence[Outputs]) -> Entry:
    arrays: dict[str, NDArray[Any]] = {}
    names = list(items[0])
    for number, name in enumerate(names):
        column = [item[name] for item in items]
        if len({(array.shape, array.dtype.str) for array in column}) == 1:
            arrays[f"{number}"] = np.stack(column)
        else:
            arrays |= {f"{number}/{position}": array for position, array in enumerate(column)}
    return Entry({"names": names, "items": len(items)}, arrays)


def _decode_outputs(entry: Entry) -> list[Outputs]:
    names, items = entry.values["names"], int(entry.values["items"])

    def column(number: int) -> Sequence[NDArray[Any]]:
        stacked = entry.arrays.get(f"{number}")
        return list(stacked) if stacked is not None else [entry.arrays[f"{number}/{i}"] for i in range(items)]

    columns = [column(number) for number in range(len(names))]
    if not columns:
        return [{} for _ in range(items)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


OUTPUTS: Codec[list[Outputs]] = Codec(_encode_outputs, _decode_outputs)


def _encode_quantized(quantized: CalibrationResult) -> Entry:
    layers = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, (name, layer) in enumerate(quantized.form.layers.items()):
        layers.append([name, asdict(layer.record)])
        arrays[f"{number}.weight"] = layer.weight
        if layer.bias is not None:
            arrays[f"{number}.bias"] = layer.bias
        if layer.shift is not None:
            arrays[f"{number}.shift"] = layer.shift
    values = {
        "layers": layers,
        "tensors": [[key, asdict(tensor.activation)] for key, tensor in quantized.form.tensors.items()],
        "impossible": [asdict(left) for left in quantized.impossible],
        "costs": {name: asdict(cost) for name, cost in quantized.costs.items()},
        "corrected": quantized.corrected,
        "strengths": dict(quantized.strengths),
    }
    return Entry(values, arrays)


def _decode_quantized(entry: Entry) -> CalibrationResult:
    arrays = entry.arrays
    layers = {
        name: QuantizedLayer(
            _record(record), arrays[f"{number}.weight"], arrays.get(f"{number}.bias"), arrays.get(f"{number}.shift")
        )
        for number, (name, record) in enumerate(entry.values["layers"])
    }
    tensors = {key: TensorRecord(ActivationParams(**params)) for key, params in entry.values["tensors"]}
    return CalibrationResult(
        QuantizedLayers(layers, tensors),
        tuple(LeftAlone(**left) for left in entry.values["impossible"]),
        {name: LayerCost(**cost) for name, cost in entry.values["costs"].items()},
        bool(entry.values["corrected"]),
        {str(name): float(strength) for name, strength in entry.values["strengths"].items()},
    )


def _record(values: Mapping[str, Any]) -> LayerRecord:
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return LayerRecord(**{**values, **lists, "activation": ActivationParams(**values["activation"])})


QUANTIZED: Codec[CalibrationResult] = Codec(_encode_quantized, _decode_quantized)


def _encode_forms(forms: Mapping[str, QuantizedLayers]) -> Entry:
    entries = {name: _encode_quantized(CalibrationResult(form, (), {})) for name, form in forms.items()}
    arrays = {f"{k}/{key}": array for k, entry in enumerate(entries.values()) for key, array in entry.arrays.items()}
    return Entry([[name, entry.values] for name, entry in entries.items()], arrays)


def _decode_forms(entry: Entry) -> dict[str, QuantizedLayers]:
    def arrays(number: int) -> dict[str, NDArray[Any]]:
        prefix = f"{number}/"
        return {key.removeprefix(prefix): array for key, array in entry.arrays.items() if key.startswith(prefix)}

    return {name: _decode_quantized(Entry(values, arrays(k))).form for k, (name, values) in enumerate(entry.values)}


FORMS: Codec[Mapping[str, QuantizedLayers]] = Codec(_encode_forms, _decode_forms)

COSTS: Codec[Mapping[str, LayerCost]] = Codec(
    lambda costs: Entry({name: asdict(cost) for name, cost in costs.items()}),
    lambda entry: {name: LayerCost(**cost) for name, cost in entry.values.items()},
)


def _decode_prediction(entry: Entry) -> Prediction | None:
    if entry.values is None:
        return None
    pairs = {key: tuple(value) for key, value in entry.values.items() if isinstance(value, list)}
    return Prediction(**{**entry.values, **pairs})


PREDICTION: Codec[Prediction | None] = Codec(
    lambda prediction: Entry(None if prediction is None else asdict(prediction)), _decode_prediction
)


def _decode_written(entry: Entry) -> Written:
    shapes = {name: tuple(shape) for name, shape in entry.values["input_shapes"].items()}
    notes = tuple(Finding(**note) for note in entry.values["notes"])
    pair = ModelPair(**entry.values["pair"])
    return Written(**{**entry.values, "pair": pair, "notes": notes, "input_shapes": shapes})


WRITTEN: Codec[Written] = Codec(lambda written: Entry(asdict(written)), _decode_written)


def _decode_proof(entry: Entry) -> Proof:
    device = entry.values["device"]
    parts = {
        "sameness": Sameness(**entry.values["sameness"]),
        "device": None if device is None else DeviceMetric(**device),
    }
    return Proof(**{**entry.values, **parts})


PROOF: Codec[Proof] = Codec(lambda proof: Entry(asdict(proof)), _decode_proof)
