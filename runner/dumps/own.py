"""Whether an operator of a layer in int8 gave what it has to give for what it read, whatever came before it.

AscendQuant       q = sat(round_half_even(fl32(fl32(x * r) + offset))); of x in float16 about one code in a hundred is the next
layer             the exact sums that its integers in the deploy file give for the codes
AscendDequant     y = acc * scale, to the 19 bits that many chips keep of a scale, and to float16
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import reciprocal
from runner.dumps.index import DumpIndex, IndexedTensor
from runner.engine import Engine
from runner.graph.builder import Builder
from runner.graph.model_file import file_sha256
from runner.inside import OutsideError, file_inside
from runner.session import REFERENCE
from runner.verify.deploy_file import IntegerModel, read_deploy
from runner.verify.execute import unrounded_sums
from runner.verify.sums import layer_sums

# 2^-10 of a truncated scale and 2^-11 of a rounded half are below it; the smallest half; beyond the largest there is none.
_RELATIVE, _ABSOLUTE, _LARGEST_HALF = 2.0**-9, 2.0**-24, 65504.0


def right_codes(read: NDArray[Any], codes: NDArray[Any], entry: IndexedTensor) -> float:
    """Return the share of codes that AscendQuant gives for what it read; 0 where one is off by more than a step."""
    if codes.size == 0:
        return 1.0
    r = np.float32(reciprocal(entry.scale[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        shifted = np.asarray(read, np.float32) * r + np.float32(entry.zero_point or 0)
        right = np.clip(np.rint(shifted), -128, 127)
        steps = np.abs(np.asarray(codes, np.float32) - right)
    return float(np.mean(steps == 0)) if np.all(steps <= 1) else 0.0


def right_values(read: NDArray[Any], values: NDArray[Any], sums: IndexedTensor) -> float:
    """Return the share of values that are the sums read, times the layer's scales, to a chip's precision.

    Args:
        read: the sums.
        values: what AscendDequant made of them, of the same shape.
        sums: the index's entry, with the scales.
    """
    if values.size == 0:
        return 1.0
    scale = np.asarray(sums.scale, np.float64)
    if scale.size > 1 and sums.op_type not in ("Gemm", "MatMul"):
        scale = scale.reshape(-1, *[1] * (values.ndim - 2))
    right = np.asarray(read, np.float64) * scale
    with np.errstate(invalid="ignore"):
        near = np.abs(values - right) <= _RELATIVE * np.abs(right) + _ABSOLUTE
    return float(np.mean(near | (np.abs(right) > _LARGEST_HALF)))


class DeploySums:
    """The layers of a deploy file, each of which gives its sums for codes.

    Args:
        deploy: the file.
        engine: makes the sessions.
    """

    def __init__(self, deploy: IntegerModel, engine: Engine) -> None:
        self._engine = engine
        self._layers = {layer.name: layer for layer in deploy.layers}
        self._nodes = {node.name: node for node in deploy.standard.graph}
        self._opset = deploy.standard.opset_imports

    def right(self, codes: NDArray[Any], sums: NDArray[Any], name: str) -> float | None:
        """Return the share of a layer's sums that its integers give for codes; None where there is no such layer."""
        layer = self._layers.get(name)
        if layer is None:
            return None
        build = Builder()
        read = ir.Value(name="codes", type=ir.TensorType(ir.DataType.INT8), shape=ir.Shape(codes.shape))
        given = unrounded_sums(layer_sums(build, layer, self._nodes[name], read, integer_kernels=False))
        graph = ir.Graph([read], [given], nodes=build.nodes, opset_imports={"": max(13, self._opset[""])}, name="layer")
        for value in build.constants:
            graph.register_initializer(value)
        model = ir.Model(graph, ir_version=8)
        (right,) = self._engine.session(model, REFERENCE).run({"codes": np.asarray(codes).astype(np.int8)})
        right = right.reshape(sums.shape) if right.size == sums.size else right
        # A dump in float32 has rounded what lies beyond 2^24.
        rounded = right.astype(sums.dtype) if sums.dtype.kind == "f" else right
        return float(np.mean(rounded == sums)) if rounded.shape == sums.shape and sums.size else None


def deploy_sums(folder: Path, index: DumpIndex, engine: Engine) -> DeploySums | None:
    """Return the layers of the deploy file that an index is of; None where it is not there any longer, or is another.

    Args:
        folder: the index's, ``amct_log/temp<timestamp>`` of the job.
        index: says which file.
        engine: makes the sessions.
    """
    try:
        path = file_inside(folder.resolve().parents[1] if index.final else folder, index.deploy_model)
    except OutsideError:
        return None
    if not path.is_file() or file_sha256(path) != index.deploy_sha256:
        return None
    return DeploySums(read_deploy(path), engine)
