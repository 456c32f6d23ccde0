"""Names and types in a configuration against those of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runner.amct_config.limits import GLOBAL_KEYS
from runner.errors import RecordError
from runner.graph.layers import LAYER_TYPES, Layer, LayeredModel
from runner.graph.smoothing import can_be_smoothed

# Types with a weight scale an output channel; others can be folded into them.
PER_CHANNEL_TYPES = FUSABLE_TYPES = ("Conv", "ConvTranspose")


def check_names(found: LayeredModel, file: str) -> None:
    """Raise a RecordError when a layer of the model is called like a global key."""
    for layer in found.layers:
        if layer.name in GLOBAL_KEYS:
            raise RecordError(
                f"{file}: the model's layer '{layer.name}' is called like a global parameter; rename the node."
            )


def check_named(layer: str, nodes: Mapping[str, str], file: str) -> None:
    """Raise a RecordError unless a node of a quantizable type is so called."""
    if layer not in nodes:
        raise RecordError(f"{file}: Layer {layer} does not exist in the graph.")
    if nodes[layer] not in LAYER_TYPES:
        raise RecordError(
            f"{file}: layer {layer} cannot be quantized: it is of type {nodes[layer]}; expected {_listed(LAYER_TYPES)}."
        )


def check_type(kind: str, file: str) -> None:
    """Raise a RecordError unless layers of this type can be quantized."""
    if kind not in LAYER_TYPES:
        raise RecordError(f"{file}: layer type {kind} cannot be quantized; expected {_listed(LAYER_TYPES)}.")


def check_balanced(layer: Layer, where: str) -> None:
    """Raise a RecordError unless the DMQ balancer takes the layer."""
    if not can_be_smoothed(layer):
        raise RecordError(
            f"{where}: {layer.op_type} has no weight to balance its input with; expected the DMQ balancer only for "
            "Conv, ConvTranspose, Gemm or MatMul."
        )


def check_fusable(layers: Iterable[str], nodes: Mapping[str, str], file: str) -> None:
    """Raise a RecordError unless each name is that of a node which others can be folded into."""
    for layer in layers:
        if layer not in nodes:
            raise RecordError(f"{file}: skip_fusion_layers: Layer {layer} does not exist in the graph.")
        if nodes[layer] not in FUSABLE_TYPES:
            raise RecordError(
                f"{file}: skip_fusion_layers: layer {layer} is of type {nodes[layer]}, into which nothing is folded; "
                f"expected {_listed(FUSABLE_TYPES)}."
            )


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
