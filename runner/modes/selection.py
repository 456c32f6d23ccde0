"""Which layers of a model become int8, and how each is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.amct_config.model import QuantConfig
from runner.calibration.observer import Observer
from runner.calibration.quantize import Quantization
from runner.correction.options import Strength
from runner.graph.tensors import TensorInput


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Which layers become int8 and how: by names alone, so that it holds for the model before and after it is rewritten.

    Attributes:
        layers: names of the layers to quantize, in graph order.
        skipped: names of the others, which stay float because the user wants it so, or because they had better.
        tensors: inputs of other nodes to quantize too.
        observers: of both, by layer name or tensor's key; none where a record says the scales.
        balance: layer name -> migration strength, of the layers whose input is to be balanced.
        one_scale: layers with one weight scale although their type takes one a channel.
        config: what calibration starts from, as it is written; None where a record says the scales.
        recorded: the layers as the record describes them, where one was given.
        warnings: what the user should know of the files that the job was given.
        all_symmetric: whether the target takes only zero point 0.
    """

    layers: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    tensors: tuple[TensorInput, ...] = ()
    observers: Mapping[str, Observer] = field(default_factory=dict)
    balance: Mapping[str, Strength] = field(default_factory=dict)
    one_scale: frozenset[str] = frozenset()
    config: QuantConfig | None = None
    recorded: Quantization | None = None
    warnings: tuple[str, ...] = ()
    all_symmetric: bool = False

    @property
    def symmetric(self) -> frozenset[str]:
        """Names of layers, and keys of tensors, whose input has zero point 0, as the user or the target wants it."""
        return frozenset(
            name for name, observer in self.observers.items() if self.all_symmetric or not observer.asymmetric
        )

    @property
    def observer_passes(self) -> int:
        """How often observers look at every calibration item."""
        return max((observer.passes for observer in self.observers.values()), default=0)

    @property
    def passes(self) -> int:
        """How often calibration usually looks at every item, for progress bars."""
        return self.observer_passes + bool(self.balance)
