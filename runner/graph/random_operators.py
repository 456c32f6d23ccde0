"""Models that draw random numbers: no two runs give the same outputs, so no figure and no proof can be had of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.constants import constant

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")


def refuse_random(nodes: Iterable[ir.Node]) -> None:
    """Raise a ModelError where a node draws random numbers, as a Dropout in training does too."""
    for node in nodes:
        if node.domain == "" and (node.op_type in _RANDOM or _drops_at_random(node)):
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' draws random numbers: no two runs give the same outputs, so nothing "
                "can be compared or proved. Export the model in evaluation mode, or make the random values an input of it."
            )


def _drops_at_random(node: ir.Node) -> bool:
    if node.op_type != "Dropout" or len(node.inputs) < 3:
        return False
    training = constant(node.inputs[2])
    return training is not None and bool(np.any(training))
