"""From a record file straight to the quantized form, without looking at data."""

from __future__ import annotations

import onnx_ir as ir

from runner.calibration.quantize import Quantization, check_sums, quantize_each, quantize_recorded
from runner.errors import RecordError
from runner.graph.added_bias import bias_add
from runner.graph.balance import can_be_balanced, input_channels, why_not_balanced
from runner.graph.constants import constant
from runner.graph.layers import Layer
from runner.graph.tensors import why_not_rounded
from runner.modes.files.integers_file import NO_INTEGERS, Integers
from runner.modes.prepared_model import PreparedModel
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, Record, TensorRecord

_FOR_ANOTHER = "expected 0: the target takes no other of any input. Give a record that was made for it, or none."


def recorded_form(record: Record, prepared: PreparedModel, name: str, integers: Integers = NO_INTEGERS) -> Quantization:
    """Return the form that a record describes; a layer whose integers would be illegal stays float, with the reason.

    Args:
        record: as read.
        prepared: the float model.
        name: of the record's file, for messages.
        integers: of the layers that corrections gave others than the scales do.

    Raises:
        RecordError: a layer is not in the model, cannot be quantized, or has other channels or another offset than it may.
    """
    layers = {layer.name: layer for layer in prepared.runnable.layers}
    for key, entry in record.layers.items():
        if key not in layers:
            raise RecordError(_no_layer(key, prepared, name))
        _check_scales(layers[key], len(entry.weight_scales), name)
        if layers[key].symmetric and entry.activation.zero_point != 0:
            why = _FOR_ANOTHER if prepared.target.limits.symmetric else "expected 0 before a convolution over 3 axes."
            raise RecordError(f"{name}: offset_d of layer '{key}' is {entry.activation.zero_point}; {why}")
        if entry.balance_factors:
            _check_factors(layers[key], len(entry.balance_factors), prepared, name)
    tensors = {key: _checked_tensor(key, entry, prepared, name) for key, entry in record.tensors.items()}

    def quantized(layer: Layer, node: ir.Node) -> QuantizedLayer:
        entry = record.layers[layer.name]
        if layer.name not in integers:
            return quantize_recorded(node, layer, entry)
        return _with_integers(node, layer, entry, integers, name)

    quantization = quantize_each(prepared.runnable.only(record.layers), quantized)
    return Quantization(QuantizedLayers(quantization.form.layers, tensors), quantization.impossible)


def _with_integers(node: ir.Node, layer: Layer, entry: LayerRecord, integers: Integers, name: str) -> QuantizedLayer:
    weight, bias, shift = integers[layer.name]
    unweighted = layer.operator.unweighted
    stored = constant(node.inputs[1]) if unweighted is None else unweighted.ones(node)
    shape = () if stored is None else stored.shape
    if weight.shape != shape or (bias is not None and bias.shape != (layer.channels,)):
        raise RecordError(
            f"{name}: the integers beside it hold a weight of shape {list(weight.shape)} for layer '{layer.name}'; "
            f"expected {list(shape)}. They belong to another model; take the file away to round the weights anew."
        )
    if shift is not None and (bias_add(node) is None or shift.shape != (layer.channels,)):
        raise RecordError(
            f"{name}: the integers beside it hold a shift of shape {list(shift.shape)} for layer '{layer.name}'; expected a "
            f"MatMul and an Add of a constant of {layer.channels} values behind it. They belong to another model; take the "
            "file away to round the weights anew."
        )
    quantized = QuantizedLayer(entry, weight, bias, shift)
    check_sums(layer, quantized)
    return quantized


def _no_layer(key: str, prepared: PreparedModel, name: str) -> str:
    kind = prepared.node_types.get(key)
    if kind is None:
        return (
            f"{name}: find {key} failure in {prepared.source.path}. Please match the record with the model: "
            "it has no node of that name."
        )
    reasons = {item.name: item.reason for item in prepared.runnable.left_alone}
    return f"{name}: layer {key} cannot be quantized: {reasons.get(key, f'it is of type {kind}')}."


def _check_scales(layer: Layer, count: int, name: str) -> None:
    legal = (1, layer.channels) if layer.per_channel else (1,)
    if count not in legal:
        expected = f"1 or {layer.channels}, one per output channel," if layer.per_channel else "1"
        raise RecordError(
            f"{name}: scale_w of layer '{layer.name}' has {count} entries; expected {expected} for a {layer.op_type}."
        )


def _check_factors(layer: Layer, count: int, prepared: PreparedModel, name: str) -> None:
    where = f"{name}: tensor_balance_factor of layer '{layer.name}'"
    if not can_be_balanced(layer):
        raise RecordError(f"{where}: {layer.op_type} has no weight to balance its input with; expected none.")
    channels = input_channels(prepared.runnable.node(layer.name), layer)
    if count != channels:
        raise RecordError(f"{where} has {count} entries; expected {channels}, one per input channel.")
    reason = why_not_balanced(prepared.graph)
    if reason is not None:
        raise RecordError(f"{where}: {reason}. Export the model again.")


def _checked_tensor(key: str, entry: TensorRecord, prepared: PreparedModel, name: str) -> TensorRecord:
    where = f"{name}: tensor '{key}'"
    node_name, separator, index = key.rpartition(":")
    if not separator or not index.isdecimal():
        raise RecordError(f"{where}: expected a key <node>:<input index> for is_tensor_quantize, got '{key}'.")
    node = next((node for node in prepared.graph.graph if node.name == node_name), None)
    if node is None:
        raise RecordError(f"{where}: find {node_name} failure in {prepared.source.path}; it has no node of that name.")
    value = node.inputs[int(index)] if int(index) < len(node.inputs) else None
    if value is None:
        raise RecordError(f"{where}: node '{node_name}' has no input {index}; it has {len(node.inputs)}.")
    unfit = why_not_rounded(value)
    if unfit is not None:
        raise RecordError(f"{where}: only a float32 activation is quantized as a tensor, got {unfit}.")
    if prepared.target.limits.symmetric and entry.activation.zero_point != 0:
        raise RecordError(f"{where}: offset_d is {entry.activation.zero_point}; {_FOR_ANOTHER}")
    return entry
