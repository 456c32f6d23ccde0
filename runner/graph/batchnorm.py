"""Fold BatchNormalization into the convolution before it: exact in real numbers, one rounding in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import add_initializer, constant, float_attribute, integer_attribute

_DEFAULT_EPSILON = 1e-5  # ONNX BatchNormalization


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``y = factor * x + shift`` per channel, float64, shape (channels,); what BatchNormalization does at inference."""

    factor: NDArray[np.float64]
    shift: NDArray[np.float64]


def fold_batchnorm(model: ir.Model) -> list[str]:
    """Fold every BatchNormalization that is the only reader of a Conv's output; return the names of those folded.

    ``k = gamma / sqrt(var + eps)``;  ``W *= k`` per output channel;  ``b = (b - mean) * k + beta``.
    One that does not follow a Conv alone, or whose result would not be finite, stays. Changes the model it is given.
    """
    folded = []
    for node in list(model.graph):
        if node.op_type == "BatchNormalization" and node.domain == "" and _fold(model.graph, node):
            folded.append(node.name or "")
    return folded


def batchnorm_affine(node: ir.Node) -> Affine | None:
    """Return what an inference-form BatchNormalization computes; None in training form or with computed parameters."""
    if integer_attribute(node, "training_mode", 0) or len(node.inputs) < 5:
        return None
    arrays = [constant(value) for value in node.inputs[1:5]]
    if any(array is None for array in arrays):
        return None
    gamma, beta, mean, var = (np.asarray(array, np.float64) for array in arrays)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(var + float_attribute(node, "epsilon", _DEFAULT_EPSILON))
        return Affine(factor, beta - mean * factor)


def remove_folded(graph: ir.Graph, batchnorm: ir.Node) -> None:
    """Take out a folded BatchNormalization: its input takes over the name and the uses of its output."""
    source, output = batchnorm.inputs[0], batchnorm.outputs[0]
    assert source is not None  # checked by the caller: the input is a convolution's output
    name = output.name
    output.replace_all_uses_with(source, replace_graph_outputs=True)
    output.name = None
    source.name = name
    graph.remove(batchnorm, safe=True)


def _fold(graph: ir.Graph, batchnorm: ir.Node) -> bool:
    source = batchnorm.inputs[0]
    conv = source.producer() if source is not None else None
    if source is None or conv is None or conv.op_type != "Conv" or conv.domain != "":
        return False
    if len(source.uses()) != 1 or source.is_graph_output():
        return False
    weight, affine = constant(conv.inputs[1]), batchnorm_affine(batchnorm)
    has_bias = len(conv.inputs) > 2 and conv.inputs[2] is not None
    bias = constant(conv.inputs[2]) if has_bias else None
    if weight is None or affine is None or weight.dtype != np.float32 or (has_bias and bias is None):
        return False
    channels = weight.shape[0]
    with np.errstate(all="ignore"):
        new_weight = (np.asarray(weight, np.float64) * affine.factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(
            np.float32
        )
        old_bias = np.zeros(channels) if bias is None else np.asarray(bias, np.float64)
        new_bias = (old_bias * affine.factor + affine.shift).astype(np.float32)
    if not (np.all(np.isfinite(new_weight)) and np.all(np.isfinite(new_bias))):
        return False
    _replace_parameters(graph, conv, new_weight, new_bias)
    remove_folded(graph, batchnorm)
    return True


def _replace_parameters(graph: ir.Graph, conv: ir.Node, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    old_weight = conv.inputs[1]
    assert old_weight is not None and old_weight.name is not None  # it is an initializer
    if len(old_weight.uses()) == 1 and old_weight.is_initializer():
        old_weight.const_value = ir.tensor(weight, name=old_weight.name)
    else:
        conv.replace_input_with(1, add_initializer(graph, old_weight.name, weight))
    conv.resize_inputs(3)
    conv.replace_input_with(2, add_initializer(graph, f"{conv.name}.bias", bias))
