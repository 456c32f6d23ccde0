"""The waist of the runner: what quantization is, layer by layer.

Everything before a record makes one (calibration, or reading a QAT model); everything after it reads one (the models, the
search, the files). A layer that is not in it stays float, so falling back is leaving out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.ranges import ActivationParams
from runner.wording import say


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """Scales of one quantized layer.

    Attributes:
        activation: of the layer's data input, per tensor.
        weight_scales: one, or one per output channel; the zero point of a weight is always 0.
        skip_fusion: the layer was quantized without folding what follows it.
        balance_factors: per input channel, where activations are divided by them and weights multiplied; empty otherwise.
    """

    activation: ActivationParams
    weight_scales: tuple[float, ...]
    skip_fusion: bool = False
    balance_factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        scales = np.asarray(self.weight_scales, np.float64)
        if scales.size == 0 or not np.all(np.isfinite(scales)) or np.any(scales <= 0):
            raise ValueError(
                say(
                    "weight scales must be positive and finite, got {weight_scales}",
                    weight_scales=self.weight_scales[:4],
                )
            )
        for factor in self.balance_factors:
            if not FLT_EPSILON < factor < 1 / FLT_EPSILON:
                raise ValueError(
                    say("balance factors must lie between FLT_EPSILON and 1/FLT_EPSILON, got {factor}", factor=factor)
                )


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """Scale of one tensor that is rounded to int8 and back on its way into a node (``layer:input`` in the record file)."""

    activation: ActivationParams


class Record(Mapping[str, LayerRecord | TensorRecord]):
    """Immutable map from layer name, or ``node:input``, to its entry; in graph order."""

    def __init__(self, entries: Mapping[str, LayerRecord | TensorRecord]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> LayerRecord | TensorRecord:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Record({len(self.layers)} layers, {len(self.tensors)} tensors)"

    @property
    def layers(self) -> dict[str, LayerRecord]:
        """The entries of layers, without those of tensors."""
        return {name: entry for name, entry in self._entries.items() if isinstance(entry, LayerRecord)}

    @property
    def tensors(self) -> dict[str, TensorRecord]:
        """The entries of tensors, keyed ``node:input``."""
        return {name: entry for name, entry in self._entries.items() if isinstance(entry, TensorRecord)}

    def without(self, names: Iterable[str]) -> Record:
        """Return the record in which the named layers are left float."""
        dropped = set(names)
        return Record({name: entry for name, entry in self._entries.items() if name not in dropped})


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedLayer:
    """A layer's quantized form: its record entry and its integers.

    Attributes:
        record: scales.
        weight: int8, the shape and layout of the float weight; of AveragePool, which has none, ones [1, 1, kh, kw].
        bias: int32, shape (channels,), without the offset correction, which ATC adds; None without a bias.
        shift: what the constant behind a MatMul, its bias, has more than the float model's: float32 in the real unit of the
            layer's output, shape (channels,); None where it is the float model's.
    """

    record: LayerRecord
    weight: NDArray[np.int8]
    bias: NDArray[np.int32] | None
    shift: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedLayers:
    """Everything that turns a float model into its int8 form: quantized layers and rounded tensors, in graph order."""

    layers: Mapping[str, QuantizedLayer]
    tensors: Mapping[str, TensorRecord] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The scales alone, as the record file holds them."""
        return Record({**{name: layer.record for name, layer in self.layers.items()}, **self.tensors})

    def without(self, names: Iterable[str]) -> QuantizedLayers:
        """Return the form in which the named layers are left float."""
        dropped = set(names)
        return QuantizedLayers({n: layer for n, layer in self.layers.items() if n not in dropped}, self.tensors)
