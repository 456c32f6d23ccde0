"""Select: which layers become int8 and how, from the job's options, a configuration or a record."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from runner.amct_config.cfg_file import SimplifiedConfig
from runner.amct_config.create import expand, observed_config, said_by
from runner.amct_config.model import QuantConfig, TensorEntry
from runner.amct_config.resolve import resolve
from runner.correction.options import Strength, is_number
from runner.errors import ConfigError, RecordError
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import Layer
from runner.graph.smoothing import can_be_smoothed, why_not_smoothed
from runner.graph.tensors import TensorInput, tensor_input, typed
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.files.given_files import GivenFiles
from runner.modes.files.recorded_form import recorded_form
from runner.modes.layer_settings import LayerSelection, in_int8, select_layers
from runner.modes.prepared_model import PreparedModel
from runner.modes.selection import Selection
from runner.modes.steps.load import Loaded
from runner.modes.tensor_settings import select_tensors
from runner.record import Record

logger = logging.getLogger(__name__)


def select(loaded: Loaded, options: AccAutoOptions) -> Selection:
    """Return which layers become int8; what the job's options say of single layers wins over a configuration.

    Raises:
        ConfigError: no layer is left to quantize, or layers are to be balanced and the model's opset is too old for it.
        RecordError: the configuration or the record does not fit the model.
        ModelError: a layer that is to be int8 has weights that are not finite.
    """
    given, prepared = loaded.given, loaded.prepared
    if given.record is not None:
        selection = _recorded(given, given.record, prepared)
    else:
        asked = select_layers(options.settings, prepared.runnable, prepared.node_types)
        tensors = _tensors(prepared, asked, options)
        make = _as_asked if given.config is None else _as_configured
        selection = _can_be_made(make(loaded, options, asked, tensors), prepared)
    better = {} if given.record else {left.name: left.reason for left in prepared.runnable.better_float}
    for name in selection.skipped:
        if name in better:
            logger.info("skipped: %s stays float: %s; in int8: %s", name, better[name], in_int8(name))
        else:
            logger.info("skipped: %s stays float, as configured", name)
    return replace(selection, all_symmetric=prepared.target.limits.symmetric)


def _tensors(prepared: PreparedModel, asked: LayerSelection, options: AccAutoOptions) -> tuple[TensorInput, ...]:
    """Return the inputs of other nodes that the user wants rounded, and those that the target does."""
    target = prepared.target
    by_user = select_tensors(options.settings.tensor_quantize, prepared.runnable.graph, target.limits.rounded)
    return tuple(dict.fromkeys((*by_user, *target.rounded_inputs(asked.quantized))))


def _recorded(given: GivenFiles, record: Record, prepared: PreparedModel) -> Selection:
    require_finite_weights(prepared.graph, record.layers)
    recorded = recorded_form(record, prepared, given.name, given.integers or {})
    return Selection(*_split(prepared, record.layers), recorded=recorded)


def _as_asked(
    loaded: Loaded, options: AccAutoOptions, asked: LayerSelection, tensors: tuple[TensorInput, ...]
) -> Selection:
    """Return what is asked for where there is no configuration."""
    assert loaded.split.calibration is not None  # there are items wherever no record is given
    found, observer = loaded.prepared.runnable, options.observer
    observers = {layer.name: asked.observers.get(layer.name, observer) for layer in found.layers}
    count = len(loaded.split.calibration)
    config = observed_config(found, observers, batch_num=count, activation_offset=observer.asymmetric)
    said = said_by(observer)
    if loaded.prepared.target.limits.symmetric:
        said = replace(said, asymmetric=False)
    config = config.with_tensors(replace(entry, activation=said) for entry in _entries(tensors))
    strengths = _strengths(found.layers, options.correction.balance, {}, asked)
    layers, skipped = _split(loaded.prepared, {layer.name for layer in asked.quantized.layers})
    return Selection(
        layers,
        skipped,
        tensors,
        {name: observers[name] for name in layers} | {tensor.key: observer for tensor in tensors},
        {name: strength for name, strength in strengths.items() if name in layers},
        config=config.with_balance(_numbers(strengths)),
    )


def _as_configured(
    loaded: Loaded, options: AccAutoOptions, asked: LayerSelection, wanted: tuple[TensorInput, ...]
) -> Selection:
    """Return what a configuration wants, and the job's options say otherwise."""
    given, prepared = loaded.given, loaded.prepared
    config, found, nodes = given.config, prepared.runnable, prepared.node_types
    assert config is not None  # the caller saw to it
    if isinstance(config, SimplifiedConfig):
        config = expand(config, found, nodes, given.name)
    config = config.with_tensors(_entries(wanted))
    start = resolve(config, found, nodes, given.name)
    quantized = tuple(layer for layer in asked.quantized.layers if layer.name in start.observers)
    if not quantized:
        raise ConfigError(
            f"quant_config: {given.name} and skip_layers, skip_layer_types or layers together leave no layer to quantize."
        )
    observers = {layer.name: asked.observers.get(layer.name, start.observers[layer.name]) for layer in quantized}
    tensors = _configured_tensors(config, prepared, given.name)
    said = {name: said_by(own) for name, own in asked.observers.items()}
    strengths = _strengths(quantized, options.correction.balance, start.balance, asked)
    return Selection(
        *_split(prepared, observers),
        tensors,
        observers | {tensor.key: start.observers[tensor.key] for tensor in tensors},
        strengths,
        start.one_scale,
        config.with_activations(said).with_balance(dict.fromkeys(observers) | _numbers(strengths)),
        warnings=(*given.warnings(options.calibration_count), *start.warnings),
    )


def _can_be_made(selection: Selection, prepared: PreparedModel) -> Selection:
    """Return a selection without the layers that are balanced where that helps, if the model is too old for it."""
    require_finite_weights(prepared.graph, set(selection.layers))
    reason = why_not_smoothed(prepared.graph)
    if reason is None:
        return selection
    if any(map(is_number, selection.balance.values())):
        raise ConfigError(f"correction.balance: {reason}. Export it again, or balance no layer.")
    return replace(selection, balance={})


def _split(prepared: PreparedModel, wanted: Container[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the layers that are wanted in int8, and of the others."""
    names = [layer.name for layer in prepared.runnable.layers]
    return tuple(name for name in names if name in wanted), tuple(name for name in names if name not in wanted)


def _strengths(
    layers: Iterable[Layer], balance: Strength, configured: Mapping[str, float], asked: LayerSelection
) -> dict[str, Strength]:
    """Return the migration strengths of the layers to balance: what is said nearest to a layer counts."""
    can_be = [layer.name for layer in layers if can_be_smoothed(layer)]
    nearest: dict[str, Strength] = {**dict.fromkeys(can_be, balance), **configured, **asked.balance}
    return {name: nearest[name] for name in can_be if nearest[name] != 0}


def _numbers(strengths: Mapping[str, Strength]) -> dict[str, float | None]:
    """Return the strengths that are known before calibration."""
    return {name: strength for name, strength in strengths.items() if is_number(strength)}


def _entries(tensors: Iterable[TensorInput]) -> list[TensorEntry]:
    return [TensorEntry(tensor.node, tensor.index) for tensor in tensors]


def _configured_tensors(config: QuantConfig, prepared: PreparedModel, name: str) -> tuple[TensorInput, ...]:
    if not config.tensors:
        return ()
    model = typed(prepared.runnable.graph)
    found = []
    for place, tensor in enumerate(config.tensors):
        try:
            found.append(tensor_input(model, tensor.layer_name, tensor.input_index, prepared.target.limits.rounded))
        except ValueError as error:
            raise RecordError(f"{name}: tensor_quantize[{place}]: {error}") from error
        if prepared.target.limits.symmetric and tensor.activation.asymmetric:
            raise RecordError(
                f"{name}: tensor_quantize[{place}]: {tensor.key}: asymmetric: expected false for every tensor of this "
                "target, got true."
            )
    return tuple(found)
