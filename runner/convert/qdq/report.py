"""What became of a QAT model: every layer, and every QuantizeLinear and DequantizeLinear, with numbers and reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

LayerStatus = Literal["exact", "requantized", "float"]
NodeUse = Literal["layer", "tensor", "output", "dropped"]
Role = Literal["activation", "weight", "bias"]


@dataclass(frozen=True, slots=True)
class ActivationSource:
    """A layer's input quantization as the source states it: its own type and zero point, before the move to int8."""

    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class ChannelError:
    """An output channel whose weights are not the source's: its new scale and the largest weight error (real units)."""

    channel: int
    scale: float
    max_error: float


@dataclass(frozen=True, slots=True)
class WeightOutcome:
    """How a layer's weight was taken over.

    Attributes:
        dtype: of the source's integers.
        granularity: of the source's scales.
        axis: that the source's scales lie along; None where there is one in all.
        channel_axis: of the output channels (for a grouped ConvTranspose those of one group) in the weight that is written.
        zero_point_min, zero_point_max: of the source's zero points.
        channels: output channels.
        channels_exact: those whose integers times scale are the source's.
        max_error: largest weight error, in real units, before BatchNormalization is folded.
        inexact: the other channels.
    """

    dtype: str
    granularity: str
    axis: int | None
    channel_axis: int
    zero_point_min: int
    zero_point_max: int
    channels: int
    channels_exact: int
    max_error: float
    inexact: tuple[ChannelError, ...]

    def with_lost(self, lost: Sequence[float], scales: Sequence[float]) -> WeightOutcome:
        """Return the outcome once channels were moved again, by so much each; ``scales`` has one value or one a channel."""
        before = {entry.channel: entry.max_error for entry in self.inexact}
        moved = {channel: float(error) for channel, error in enumerate(lost) if error > 0}
        if not moved:
            return self
        errors = {channel: before.get(channel, 0.0) + moved.get(channel, 0.0) for channel in sorted(before | moved)}
        inexact = tuple(
            ChannelError(channel, float(scales[channel if len(scales) > 1 else 0]), error)
            for channel, error in errors.items()
        )
        return replace(
            self,
            channels_exact=self.channels - len(inexact),
            max_error=max(error.max_error for error in inexact),
            inexact=inexact,
        )


@dataclass(frozen=True, slots=True)
class BiasOutcome:
    """Whether the source's int32 bias was taken or a bias was rounded, and the largest error in real units."""

    how: Literal["taken", "rounded", "none"]
    max_error: float


@dataclass(frozen=True, slots=True)
class BatchNormOutcome:
    """A BatchNormalization folded into quantized weights.

    Attributes:
        node: its name.
        negative_channels: channels whose integers changed sign.
        zero_channels: channels of factor 0, whose integers became 0.
        saturated: weights of -128 that became 127 by the change of sign.
    """

    node: str
    negative_channels: int
    zero_channels: int
    saturated: int


@dataclass(frozen=True, slots=True)
class LayerConversion:
    """One layer: ``exact``, ``requantized`` (some weights differ from the source's) or ``float`` with the reason.

    ``looked_through`` names the Identity and Cast that stood beside its QuantizeLinear and DequantizeLinear.
    """

    name: str
    op_type: str
    status: LayerStatus
    activation: ActivationSource | None = None
    weight: WeightOutcome | None = None
    bias: BiasOutcome | None = None
    batchnorm: BatchNormOutcome | None = None
    reason: str | None = None
    looked_through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeAccount:
    """One QuantizeLinear or DequantizeLinear of the source.

    Attributes:
        name, op_type: of the node.
        use: ``layer``, ``tensor`` (an Add's input), ``output`` (a lone QuantizeLinear at a model output), ``dropped``.
        role: what it quantizes, where it belongs to a layer.
        users: the layers, and tensors as ``<node>:<input>``, that took its scale.
        reason: why it was dropped, or what else there is to know.
    """

    name: str
    op_type: str
    use: NodeUse
    role: Role | None
    users: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """The whole account of one conversion, in graph order."""

    layers: tuple[LayerConversion, ...]
    nodes: tuple[NodeAccount, ...]

    def counts(self) -> dict[str, int]:
        """Return how many layers have each status, how many nodes each use, and how many weight channels are exact."""
        weights = [layer.weight for layer in self.layers if layer.status != "float" and layer.weight is not None]
        return {
            "layers": len(self.layers),
            **{f"layers_{s}": sum(x.status == s for x in self.layers) for s in ("exact", "requantized", "float")},
            "nodes": len(self.nodes),
            **{f"nodes_{u}": sum(x.use == u for x in self.nodes) for u in ("layer", "tensor", "output", "dropped")},
            "channels": sum(weight.channels for weight in weights),
            "channels_exact": sum(weight.channels_exact for weight in weights),
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings; a key that does not apply is absent."""
        return {"counts": self.counts(), "layers": _plain(self.layers), "nodes": _plain(self.nodes)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks any nest of the dataclasses above
    if is_dataclass(value):
        items = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(item) for name, item in items if item is not None}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
