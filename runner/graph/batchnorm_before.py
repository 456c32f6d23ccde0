"""Fold BatchNormalization into the convolution behind it, where that is exact in real numbers.

``conv(f x + s) = conv'(x) + sum(W s)`` with ``W' = W f`` per input channel. Padding is zero behind the BatchNormalization but
would be ``f 0 + s`` before it, so a padded convolution takes it only where every shift is 0.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.batchnorm import Folds, batchnorm_affine, into_all, replace_parameters, why_no_affine
from runner.graph.constants import constant, integer_attribute, integer_attributes, string_attribute


def fold_batchnorm_before(model: ir.Model, folds: Folds = into_all) -> list[str]:
    """Fold every BatchNormalization that only a Conv reads, where it is exact; return the names of those folded.

    Nothing is folded into a convolution whose name ``folds`` says no to. Changes the model it is given.
    ``why_not_folded`` tells of the others.
    """
    folded = []
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or node.domain != "" or why_not_folded(node) is not None:
            continue
        if folds(node.outputs[0].consumers()[0].name or ""):
            _fold(model.graph, node)
            folded.append(node.name or "")
    return folded


def why_not_folded(batchnorm: ir.Node) -> str | None:
    """Return why a BatchNormalization cannot go into the convolution behind it; None where it can."""
    output, affine = batchnorm.outputs[0], batchnorm_affine(batchnorm)
    if affine is None:
        return why_no_affine(batchnorm)
    readers = output.consumers()
    if output.is_graph_output() or len(output.uses()) != 1:
        return "neither a convolution before it nor one behind it is its only neighbour"
    conv = readers[0]
    if conv.op_type != "Conv" or conv.domain != "" or conv.inputs[0] is not output:
        return f"between it and a convolution stands {conv.op_type} '{conv.name}'"
    weight = constant(conv.inputs[1])
    has_bias = len(conv.inputs) > 2 and conv.inputs[2] is not None
    if weight is None or weight.dtype != np.float32 or (has_bias and constant(conv.inputs[2]) is None):
        return f"the weight or bias of the Conv '{conv.name}' behind it is no float32 constant"
    if not (np.all(np.isfinite(affine.factor)) and np.all(np.isfinite(affine.shift))):
        return "its factors are not finite"
    if _pads(conv) and np.any(affine.shift != 0):
        return f"the Conv '{conv.name}' behind it pads with zeros, which are not what it makes of zeros"
    return None


def _pads(conv: ir.Node) -> bool:
    same = string_attribute(conv, "auto_pad", "NOTSET").startswith("SAME")
    return same or any(integer_attributes(conv, "pads", []))


def _fold(graph: ir.Graph, batchnorm: ir.Node) -> None:
    conv, affine = batchnorm.outputs[0].consumers()[0], batchnorm_affine(batchnorm)
    weight, source = constant(conv.inputs[1]), batchnorm.inputs[0]
    assert affine is not None and weight is not None and source is not None  # checked by why_not_folded
    group = integer_attribute(conv, "group", 1)
    # [group, outputs of a group, inputs of a group, taps], and the factors of each group's inputs.
    grouped = np.asarray(weight, np.float64).reshape(group, weight.shape[0] // group, weight.shape[1], -1)
    factor, shift = (values.reshape(group, 1, weight.shape[1], 1) for values in (affine.factor, affine.shift))
    bias = constant(conv.inputs[2]) if len(conv.inputs) > 2 else None
    old_bias = np.zeros(weight.shape[0]) if bias is None else np.asarray(bias, np.float64)
    new_bias = old_bias + (grouped * shift).sum(axis=(2, 3)).reshape(-1)
    scaled = (grouped * factor).reshape(weight.shape).astype(np.float32)
    replace_parameters(graph, conv, scaled, new_bias.astype(np.float32))
    conv.replace_input_with(0, source)
    graph.remove(batchnorm, safe=True)
