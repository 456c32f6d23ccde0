"""Make a configuration for a model's layers: from options, or from a simplified configuration.

Where a simplified configuration says several things of a layer, the nearest counts: its own override, then its type's, then
``common_config``; for activations, weights and the DMQ balancer apart. ``asymmetric`` follows the same order among equal
algorithms and ends at ``activation_offset``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.amct_config.cfg_file import Choice, SimplifiedConfig
from runner.amct_config.json_file import parse_activation
from runner.amct_config.layer_names import check_balanced, check_fusable, check_named, check_names, check_type
from runner.amct_config.model import (
    ActivationAlgorithm,
    ArqParams,
    IfmrParams,
    LayerEntry,
    QuantConfig,
    TensorEntry,
)
from runner.calibration.observer import Observer
from runner.errors import RecordError
from runner.graph.layers import Layer, LayeredModel
from runner.graph.smoothing import can_be_smoothed


def observed_config(
    found: LayeredModel, observers: Mapping[str, Observer], *, batch_num: int, activation_offset: bool
) -> QuantConfig:
    """Return the configuration that says what a job's own options say.

    Args:
        found: every quantizable layer.
        observers: by layer name, of every one of them.
        batch_num: number of calibration items.
        activation_offset: whether activations are asymmetric unless a layer says otherwise.

    Raises:
        RecordError: an observer's ``amct_params`` break the format.
    """
    entries = [
        (layer.name, LayerEntry(True, _fit(said_by(observers[layer.name]), layer), ArqParams(layer.per_channel, 8)))
        for layer in found.layers
    ]
    return QuantConfig(
        batch_num=batch_num,
        activation_offset=activation_offset,
        joint_quant=False,
        layers=tuple(sorted(entries, key=lambda entry: entry[0])),
    )


def said_by(observer: Observer) -> ActivationAlgorithm:
    """Return an observer's options as AMCT says them.

    Raises:
        RecordError: its ``amct_params`` break the format.
    """
    return parse_activation(observer.amct_params(), f"{type(observer).__name__}.amct_params")


def expand(cfg: SimplifiedConfig, found: LayeredModel, nodes: Mapping[str, str], name: str) -> QuantConfig:
    """Return the configuration that AMCT's ``create_quant_config`` makes of a simplified one.

    Args:
        cfg: as read.
        found: the model's quantizable layers.
        nodes: operator type of every node, by name.
        name: of the file, for messages.

    Raises:
        RecordError: a layer or type does not exist or cannot be quantized, or nothing is left to quantize.
    """
    check_names(found, name)
    for layer_name in (*cfg.skip_layers, *(layer for layer, _ in cfg.layers)):
        check_named(layer_name, nodes, name)
    for kind in (*cfg.skip_layer_types, *(kind for kind, _ in cfg.types)):
        check_type(kind, name)
    check_fusable(cfg.skip_fusion_layers, nodes, name)
    skipped = {
        layer.name for layer in found.layers if layer.name in cfg.skip_layers or layer.op_type in cfg.skip_layer_types
    }
    if len(skipped) == len(found.layers):
        raise RecordError(f"{name}: Except skip_layers, no layer needs to quantize.")
    entries = {layer.name: _entry(cfg, layer, name) for layer in found.layers}
    layers = tuple((key, replace(entry, quant_enable=key not in skipped)) for key, entry in sorted(entries.items()))
    return QuantConfig(
        batch_num=cfg.batch_num,
        activation_offset=cfg.activation_offset,
        do_fusion=cfg.do_fusion,
        skip_fusion_layers=cfg.skip_fusion_layers,
        joint_quant=False,
        tensor_quantize=tuple(_tensor(cfg, place, choice) for place, choice in cfg.tensors) or None,
        layers=layers,
    )


def _tensor(cfg: SimplifiedConfig, place: tuple[str, int], choice: Choice) -> TensorEntry:
    return TensorEntry(*place, _activation(cfg, (choice, cfg.common)))


def _entry(cfg: SimplifiedConfig, layer: Layer, name: str) -> LayerEntry:
    by_layer, by_type = dict(cfg.layers).get(layer.name, Choice()), dict(cfg.types).get(layer.op_type, Choice())
    activation = _fit(_activation(cfg, (by_layer, by_type, cfg.common)), layer)
    return LayerEntry(
        True,
        activation,
        _weight(cfg, layer, (by_layer, by_type), name),
        _balance(cfg, layer, (by_layer, by_type), name),
    )


def _activation(cfg: SimplifiedConfig, choices: Sequence[Choice]) -> ActivationAlgorithm:
    """Return what the nearest of the choices says, the first of them."""
    named = [choice.activation for choice in choices if choice.activation is not None]
    activation = replace(named[0] if named else IfmrParams(), num_bits=8)
    said = [params.asymmetric for params in named if isinstance(params, type(activation))]
    asymmetric = next((value for value in said if value is not None), cfg.activation_offset)
    return replace(activation, asymmetric=asymmetric)


def _fit(activation: ActivationAlgorithm, layer: Layer) -> ActivationAlgorithm:
    """AMCT refuses a configuration that says otherwise of a convolution over three axes."""
    return replace(activation, asymmetric=False) if layer.symmetric else activation


def _weight(cfg: SimplifiedConfig, layer: Layer, overrides: tuple[Choice, Choice], name: str) -> ArqParams:
    for choice in overrides:
        if choice.weight is not None:
            if choice.weight.channel_wise and not layer.per_channel:
                raise RecordError(
                    f"{name}: arq_quantize.channel_wise of layer '{layer.name}': The channel_wise must be False for "
                    f"layer type {layer.op_type}."
                )
            return _by_type(choice.weight, layer)
    return _by_type(cfg.common.weight or ArqParams(), layer)


def _balance(cfg: SimplifiedConfig, layer: Layer, overrides: tuple[Choice, Choice], name: str) -> float | None:
    for choice in overrides:
        if choice.balance is not None:
            check_balanced(layer, f"{name}: dmq_balancer of layer '{layer.name}'")
            return choice.balance
    return cfg.common.balance if can_be_smoothed(layer) else None


def _by_type(params: ArqParams, layer: Layer) -> ArqParams:
    wanted = True if params.channel_wise is None else params.channel_wise
    return ArqParams(wanted and layer.per_channel, 8)
