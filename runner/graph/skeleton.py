"""A large model in two parts, for onnxruntime to take without a copy: the graph in bytes, and its weights as arrays."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.model_file import model_bytes

# Smaller ones are read while the model is loaded, as shapes and axes are.
_LEAST_BYTES = 4096
_SHARED = frozenset(
    {
        *(ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16),
        *(ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.INT64),
    }
)


def skeleton(model: ir.Model) -> tuple[bytes, dict[str, NDArray[np.generic]]]:
    """Return a model whose large weights lie in a file that there is not, and these weights by name.

    Args:
        model: stays as it is; the arrays are its own where it holds arrays.
    """
    bare, weights = model.clone(), dict[str, NDArray[np.generic]]()
    for name, value in bare.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _LEAST_BYTES or tensor.dtype not in _SHARED:
            continue
        if not value.uses():  # onnxruntime lets go of it before it takes the weights
            continue
        weights[name] = np.ascontiguousarray(tensor.numpy())
        value.const_value = ir.ExternalTensor(
            "weights", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(weights[name].shape), name=name
        )
    return model_bytes(bare), weights
