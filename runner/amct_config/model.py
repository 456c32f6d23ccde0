"""What AMCT's config.json says, as values.

``None`` stands for a key that is not in the file: files of other versions lack some, and a file that was read is written as
it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from runner.graph.tensors import tensor_key


@dataclass(frozen=True, slots=True)
class IfmrParams:
    """``activation_quant_params`` with ``act_algo`` ifmr."""

    max_percentile: float = 0.999999
    min_percentile: float = 0.999999
    search_range: tuple[float, float] = (0.7, 1.3)
    search_step: float = 0.01
    num_bits: int | None = None
    asymmetric: bool | None = None


@dataclass(frozen=True, slots=True)
class HfmgParams:
    """``activation_quant_params`` with ``act_algo`` hfmg."""

    num_of_bins: int = 4096
    num_bits: int | None = None
    asymmetric: bool | None = None


ActivationAlgorithm = IfmrParams | HfmgParams


@dataclass(frozen=True, slots=True)
class ArqParams:
    """``weight_quant_params`` with ``wts_algo`` arq_quantize.

    Attributes:
        channel_wise: one scale an output channel, or one in all; None: as the layer's type has it.
    """

    channel_wise: bool | None = None
    num_bits: int | None = None


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One layer's section.

    Attributes:
        balance: ``dmq_balancer_param``, the migration strength of the DMQ balancer; None: the layer is not balanced.
    """

    quant_enable: bool = True
    activation: ActivationAlgorithm = IfmrParams()
    weight: ArqParams = ArqParams()
    balance: float | None = None


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """An entry of ``tensor_quantize``: an input of a node that is rounded to int8."""

    layer_name: str
    input_index: int
    activation: ActivationAlgorithm = IfmrParams()

    @property
    def key(self) -> str:
        """What the record calls it."""
        return tensor_key(self.layer_name, self.input_index)


@dataclass(frozen=True, slots=True)
class QuantConfig:
    """A config.json. A layer that has no section is not quantized.

    Attributes:
        tensor_quantize: entries in the file's order.
        layers: (name, section), in the alphabetical order of the names.
    """

    batch_num: int = 1
    activation_offset: bool = True
    do_fusion: bool = True
    skip_fusion_layers: tuple[str, ...] = ()
    joint_quant: bool | None = None
    fakequant_precision_mode: str | None = None
    tensor_quantize: tuple[TensorEntry, ...] | None = None
    layers: tuple[tuple[str, LayerEntry], ...] = field(default=())

    @property
    def enabled(self) -> tuple[str, ...]:
        """Names of the layers to quantize."""
        return tuple(name for name, entry in self.layers if entry.quant_enable)

    @property
    def tensors(self) -> tuple[TensorEntry, ...]:
        """The inputs of nodes to quantize."""
        return self.tensor_quantize or ()

    def with_enabled(self, names: Collection[str]) -> QuantConfig:
        """Return the configuration in which just the named layers, and inputs by their keys, are quantized."""
        kept = tuple(tensor for tensor in self.tensors if tensor.key in names)
        return replace(
            self,
            tensor_quantize=None if self.tensor_quantize is None else kept,
            layers=tuple((name, replace(entry, quant_enable=name in names)) for name, entry in self.layers),
        )

    def with_tensors(self, entries: Iterable[TensorEntry]) -> QuantConfig:
        """Return the configuration with further inputs to quantize; what it says of one already stays."""
        said = {tensor.key for tensor in self.tensors}
        more = tuple(entry for entry in entries if entry.key not in said)
        return replace(self, tensor_quantize=(*self.tensors, *more)) if more else self

    def with_activations(self, activations: Mapping[str, ActivationAlgorithm]) -> QuantConfig:
        """Return the configuration in which the named layers' activations are observed so."""
        return replace(
            self,
            layers=tuple(
                (name, replace(entry, activation=activations.get(name, entry.activation)))
                for name, entry in self.layers
            ),
        )

    def with_balance(self, strengths: Mapping[str, float | None]) -> QuantConfig:
        """Return the configuration in which the named layers are balanced with these strengths, or with None not."""
        return replace(
            self,
            layers=tuple(
                (name, replace(entry, balance=strengths.get(name, entry.balance))) for name, entry in self.layers
            ),
        )

    def folds(self, layer: str) -> bool:
        """Return whether what follows a layer may be folded into it."""
        return self.do_fusion and layer not in self.skip_fusion_layers
