"""What stands around a layer of the float model folded into it, and what the source says of the layer changed alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from runner.convert.qdq.layers.source import FoldedBatchNorm, LayerSource
from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.graph.one_axis import spread_over_two_axes, spread_weight
from runner.graph.plain_gemm import untranspose_gemm_weight


def fold(model: ir.Model, sources: Mapping[str, LayerSource]) -> dict[str, LayerSource]:
    """Fold BatchNormalization, untranspose Gemm and spread layers over one axis; return the sources changed alike."""
    affines = {}
    for node in model.graph:
        if node.op_type != "BatchNormalization" or node.inputs[0] is None:
            continue
        conv, affine = node.inputs[0].producer(), batchnorm_affine(node)
        if conv is not None and affine is not None:
            affines[node.name or ""] = (conv.name or "", affine)
    folded = dict(sources)
    for name in fold_batchnorm(model):
        conv_name, affine = affines[name]
        folded[conv_name] = replace(folded[conv_name], batchnorm=FoldedBatchNorm(name, affine))
    for node in model.graph:
        if node.op_type == "Gemm":
            untranspose_gemm_weight(model.graph, node)
    for name in spread_over_two_axes(model):
        folded[name] = _spread(folded[name])
    return folded


def _spread(source: LayerSource) -> LayerSource:
    """Return a layer over one axis as the layer over two that it was made."""
    weight = None if source.weight is None else source.weight.moved(spread_weight)
    return replace(source, weight=weight, window=None if source.window is None else spread_weight(source.window))
