"""What a source of quantized layers gives, and how it is kept in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from runner.graph.layers import LeftAlone
from runner.graph.macs import LayerCost
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.store.stage import Codec
from runner.store.store import Entry


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Every layer that shall be int8 in int8, with what all layers cost; and the layers that cannot be.

    Attributes:
        corrected: whether the integers are others than the record's scales give by rounding.
        strengths: layer name -> migration strength, of the layers whose input is balanced.
    """

    form: QuantizedLayers
    impossible: tuple[LeftAlone, ...]
    costs: Mapping[str, LayerCost]
    corrected: bool = False
    strengths: Mapping[str, float] = field(default_factory=dict)


def _encode(result: CalibrationResult) -> Entry:
    layers = []
    arrays: dict[str, NDArray[Any]] = {}
    for number, (name, layer) in enumerate(result.form.layers.items()):
        layers.append([name, asdict(layer.record)])
        arrays[f"{number}.weight"] = layer.weight
        if layer.bias is not None:
            arrays[f"{number}.bias"] = layer.bias
        if layer.shift is not None:
            arrays[f"{number}.shift"] = layer.shift
    values = {
        "layers": layers,
        "tensors": [[key, asdict(tensor.activation)] for key, tensor in result.form.tensors.items()],
        "impossible": [asdict(left) for left in result.impossible],
        "costs": {name: asdict(cost) for name, cost in result.costs.items()},
        "corrected": result.corrected,
        "strengths": dict(result.strengths),
    }
    return Entry(values, arrays)


def _decode(entry: Entry) -> CalibrationResult:
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


CALIBRATION_RESULT = Codec(_encode, _decode)


def _layers_alone(form: QuantizedLayers) -> Entry:
    return _encode(CalibrationResult(form, (), {}))


QUANTIZED_LAYERS: Codec[QuantizedLayers] = Codec(_layers_alone, lambda entry: _decode(entry).form)
