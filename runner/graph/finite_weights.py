"""Weights of layers that are to be int8 have to be finite; those of layers left float may be anything."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.constants import Array, constant


def require_finite_weights(model: ir.Model, layers: Collection[str], *, can_skip: bool = True) -> None:
    """Raise a ModelError where one of the named layers has a weight that is not finite, or a bias that holds NaN.

    A bias of infinities rules classes out on purpose; such a layer has no int8 form, but is no fault.

    Args:
        model: holds the layers.
        layers: names of those that are to be int8.
        can_skip: whether an option leaves single layers float.
    """
    for node in model.graph:
        if node.name not in layers:
            continue
        for place, value in enumerate(node.inputs[1:], 1):
            array = constant(value)
            if array is None or value is None or (place == 2 and has_infinities(array)):
                continue
            bad = int(np.sum(~np.isfinite(np.asarray(array, np.float64))))
            if bad:
                way_out = f", or leave the layer float with skip_layers=[{node.name}]" if can_skip else ""
                raise ModelError(
                    f"model.path: layer '{node.name}' has {bad} value(s) that are NaN or infinite in '{value.name}'; "
                    f"expected finite weights. Export the model again{way_out}."
                )


def has_infinities(array: Array) -> bool:
    """Return whether an array holds infinities, and no NaN."""
    values = np.asarray(array, np.float64)
    return bool(np.isinf(values).any() and not np.isnan(values).any())
