"""A configuration applied to the layers that a model has: who is quantized, observed how, with which weight scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner.amct_config.layer_names import PER_CHANNEL_TYPES, check_balanced, check_fusable, check_named, check_names
from runner.amct_config.model import ActivationAlgorithm, HfmgParams, IfmrParams, QuantConfig
from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.errors import RecordError
from runner.graph.layers import Layer, LayeredModel
from runner.wording import recalled, say

_VOLUME = 3  # axes


@dataclass(frozen=True, slots=True, eq=False)
class ConfiguredLayers:
    """What calibration starts from.

    Attributes:
        observers: by name, of the layers to quantize, in graph order; then, by the record's key, of the inputs of other nodes.
        balance: layer name -> migration strength of the DMQ balancer, of the layers to balance.
        one_scale: layers with one weight scale although their type takes one a channel.
        warnings: layers that the configuration wants and this tool cannot quantize.
    """

    observers: Mapping[str, Observer]
    balance: Mapping[str, float]
    one_scale: frozenset[str]
    warnings: tuple[str, ...]


def _hfmg(params: Any, asymmetric: bool) -> Observer:  # noqa: ANN401 - the algorithm's own parameters
    return Hfmg(num_of_bins=params.num_of_bins, asymmetric=asymmetric)


def _ifmr(params: Any, asymmetric: bool) -> Observer:  # noqa: ANN401 - the algorithm's own parameters
    return Ifmr(
        max_percentile=params.max_percentile,
        min_percentile=params.min_percentile,
        search_range=list(params.search_range),
        search_step=params.search_step,
        asymmetric=asymmetric,
    )


# What act_algo says -> the observer that does it, given whether the range may lie unevenly around zero
OBSERVERS: Mapping[type[ActivationAlgorithm], Callable[[Any, bool], Observer]] = {IfmrParams: _ifmr, HfmgParams: _hfmg}


def resolve(config: QuantConfig, found: LayeredModel, nodes: Mapping[str, str], name: str) -> ConfiguredLayers:
    """Return what a configuration means for a model.

    Args:
        config: as read.
        found: the model's quantizable layers.
        nodes: operator type of every node, by name.
        name: of the file, for messages.

    Raises:
        RecordError: a layer does not exist, is of the wrong type, or no layer is enabled.
    """
    _check(config, found, nodes, name)
    entries, wanted = dict(config.layers), set(config.enabled)
    observers: dict[str, Observer] = {}
    # Equal settings share one observer, so that a tensor which is read twice is observed once.
    made: dict[ActivationAlgorithm, Observer] = {}

    def observer(params: ActivationAlgorithm, *, symmetric: bool = False) -> Observer:
        asymmetric = config.activation_offset if params.asymmetric is None else params.asymmetric
        asymmetric = asymmetric and not symmetric
        key = replace(params, num_bits=8, asymmetric=asymmetric)
        if key not in made:
            made[key] = OBSERVERS[type(params)](params, asymmetric)
        return made[key]

    for layer in found.layers:
        if layer.name in wanted:
            observers[layer.name] = observer(entries[layer.name].activation, symmetric=layer.symmetric)
    warnings = _beyond_us(config, found)
    if not observers:
        raise RecordError(f"{name}: none of the enabled layers can be quantized here: {'; '.join(warnings[:3])}.")
    strengths = {name: entries[name].balance for name in observers}
    return ConfiguredLayers(
        observers | {tensor.key: observer(tensor.activation) for tensor in config.tensors},
        {name: strength for name, strength in strengths.items() if strength is not None},
        frozenset(
            layer.name
            for layer in found.layers
            if layer.name in observers and layer.per_channel and entries[layer.name].weight.channel_wise is False
        ),
        warnings,
    )


def _check(config: QuantConfig, found: LayeredModel, nodes: Mapping[str, str], name: str) -> None:
    check_names(found, name)
    layers = {layer.name: layer for layer in found.layers}
    for layer, entry in config.layers:
        check_named(layer, nodes, name)
        if entry.weight.channel_wise and not _per_channel(layer, layers, nodes[layer]):
            raise RecordError(
                f"{name}: {layer}.weight_quant_params.channel_wise: The channel_wise must be False for layer type "
                f"{nodes[layer]}."
            )
    for layer, entry in config.layers:
        if entry.balance is not None and layer in layers:
            check_balanced(layers[layer], f"{name}: {layer}.dmq_balancer_param")
    for layer, entry in config.layers:
        if layer in layers and layers[layer].symmetric and entry.activation.asymmetric:
            whose = (
                "a convolution over three axes" if layers[layer].spatial == _VOLUME else "every layer of this target"
            )
            raise RecordError(
                f"{name}: {layer}.activation_quant_params.asymmetric: expected false for {whose}, got true."
            )
    check_fusable(config.skip_fusion_layers, nodes, name)
    if not config.enabled:
        raise RecordError(f"{name}: No quant enable layer in quant config file, please check the quant config file.")


def _per_channel(name: str, layers: Mapping[str, Layer], op_type: str) -> bool:
    """Return whether a layer takes a weight scale an output channel; of one that is left alone its type decides."""
    return layers[name].per_channel if name in layers else op_type in PER_CHANNEL_TYPES


def _beyond_us(config: QuantConfig, found: LayeredModel) -> tuple[str, ...]:
    """Return a warning for each layer that is enabled and not quantizable here."""
    layers = {layer.name for layer in found.layers}
    reasons = {item.name: item.reason for item in found.left_alone}
    return tuple(
        say(
            "quant_config: layer '{layer}' is enabled but stays float: {reason}",
            layer=layer,
            reason=recalled(reasons[layer]) if layer in reasons else say("it is not quantized here"),
        )
        for layer in config.enabled
        if layer not in layers
    )
