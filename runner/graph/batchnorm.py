"""Fold BatchNormalization into the convolution before it: exact in real numbers, one rounding in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import add_initializer, constant, float_attribute, integer_attribute, is_own
from runner.graph.operators import layout_of, operator_of
from runner.wording import say

_DEFAULT_EPSILON = 1e-5  # ONNX BatchNormalization


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``y = factor * x + shift`` per channel, float64, shape (channels,); what BatchNormalization does at inference."""

    factor: NDArray[np.float64]
    shift: NDArray[np.float64]


Folds = Callable[[str], bool]


def into_all(layer: str) -> bool:
    """Let every layer take what follows it."""
    return True


def fold_batchnorm(model: ir.Model, folds: Folds = into_all) -> list[str]:
    """Fold every BatchNormalization that is the only reader of a convolution's output; return the names of those folded.

    Nothing is folded into a convolution whose name ``folds`` says no to.

    ``k = gamma / sqrt(var + eps)``;  ``W *= k`` per output channel;  ``b = (b - mean) * k + beta``.
    One that does not follow a convolution alone, or whose result would not be finite, stays. Changes the model it is given.
    """
    folded = []
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or node.domain != "":
            continue
        conv, affine = sole_convolution(node.inputs[0]), batchnorm_affine(node)
        if conv is None or affine is None or not folds(conv.name or ""):
            continue
        if fold_into(model.graph, conv, affine):
            remove_folded(model.graph, node, conv.outputs[0])
            folded.append(node.name or "")
    return folded


def batchnorm_affine(node: ir.Node) -> Affine | None:
    """Return what an inference-form BatchNormalization computes a channel; None where ``why_no_affine`` says why."""
    return None if why_no_affine(node) is not None else affine_of(node)


def why_no_affine(node: ir.Node) -> str | None:
    """Return why a BatchNormalization is no constant factor and shift of each channel; None where it is."""
    # Before opset 14 there is no attribute: whoever takes the statistics too has them made anew from every batch.
    if integer_attribute(node, "training_mode", 0) or any(output.name for output in node.outputs[1:]):
        return say("it is in training form: its mean and variance are made anew from every batch")
    affine = affine_of(node)
    if affine is None:
        return say("its parameters are computed by the graph")
    if not integer_attribute(node, "spatial", 1) or affine.factor.ndim != 1:
        return say("its parameters differ from place to place (spatial is 0)")
    return None


def affine_of(node: ir.Node) -> Affine | None:
    """Return factor and shift of a BatchNormalization's constant parameters, in their shape; None where one is computed."""
    if len(node.inputs) < 5:
        return None
    arrays = [constant(value) for value in node.inputs[1:5]]
    if any(array is None for array in arrays):
        return None
    gamma, beta, mean, var = (np.asarray(array, np.float64) for array in arrays)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(var + float_attribute(node, "epsilon", _DEFAULT_EPSILON))
        return Affine(factor, beta - mean * factor)


def sole_convolution(value: ir.Value | None) -> ir.Node | None:
    """Return the convolution that makes ``value``, if one node alone reads it."""
    conv = None if value is None else value.producer()
    operator = None if conv is None else operator_of(conv)
    if value is None or operator is None or not operator.is_convolution:
        return None
    return conv if len(value.uses()) == 1 and not value.is_graph_output() else None


def fold_into(graph: ir.Graph, conv: ir.Node, affine: Affine) -> bool:
    """Make a convolution compute ``affine`` of what it computed; return False, nothing changed, where it cannot.

    Its weight and bias have to be constant float32, and stay finite.
    """
    weight = constant(conv.inputs[1])
    has_bias = len(conv.inputs) > 2 and conv.inputs[2] is not None
    bias = constant(conv.inputs[2]) if has_bias else None
    if weight is None or weight.dtype != np.float32 or (has_bias and bias is None):
        return False
    layout = layout_of(conv)
    rows = np.asarray(layout.rows(weight), np.float64)
    channels = rows.shape[0]
    with np.errstate(all="ignore"):
        scaled = (rows * affine.factor.reshape(-1, *[1] * (rows.ndim - 1))).astype(np.float32)
        old_bias = np.zeros(channels) if bias is None else np.asarray(bias, np.float64)
        new_bias = (old_bias * affine.factor + affine.shift).astype(np.float32)
    if not (np.all(np.isfinite(scaled)) and np.all(np.isfinite(new_bias))):
        return False
    replace_parameters(graph, conv, layout.stored(scaled, weight.shape), new_bias)
    return True


def remove_folded(graph: ir.Graph, folded: ir.Node, source: ir.Value) -> None:
    """Take out a node that was folded into the one that makes ``source``, which takes over its output's name and uses."""
    output = folded.outputs[0]
    name = output.name
    output.replace_all_uses_with(source, replace_graph_outputs=True)
    output.name = None
    source.name = name
    graph.remove(folded, safe=True)


def replace_parameters(graph: ir.Graph, conv: ir.Node, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """Give a convolution another weight and bias; an initializer that others read too, or that is an output, stays for them."""
    old_weight = conv.inputs[1]
    assert old_weight is not None and old_weight.name is not None  # it is an initializer
    if is_own(old_weight):
        old_weight.const_value = ir.tensor(weight, name=old_weight.name)
    else:
        conv.replace_input_with(1, add_initializer(graph, old_weight.name, weight))
    conv.resize_inputs(3)
    conv.replace_input_with(2, add_initializer(graph, f"{conv.name}.bias", bias))
