"""Layers whose weights are constants of a decoding: evenly spaced numbers, whose mean under some weights is the model's answer.

A detector that learns distributions (Li et al., Generalized focal loss, 2020; YOLOv8) gives the distance to a side of a box as
the expectation of its bins, a 1x1 convolution by 0, 1, ... 15 behind a Softmax. A soft argmax multiplies by the coordinates of
a grid. In int8 such a layer costs the answer itself what it saves of a thousandth of the work.

Trained weights are not evenly spaced to their last bit.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import constant
from runner.graph.operators import operator_of
from runner.wording import say

# Fewer numbers than this may be evenly spaced by chance.
_LEAST = 4
# Of the largest value: what rounding evenly spaced numbers to float32 does to them.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)


def why_decoding(node: ir.Node) -> str | None:
    """Return why a layer had better stay float, being a constant of a decoding; None where it is none."""
    operator = operator_of(node)
    weight = None if operator is None or operator.unweighted else constant(node.inputs[1])
    if operator is None or weight is None:
        return None
    rows = operator.layout(node).rows(weight)
    rows = rows.reshape(len(rows), -1)
    if not rows.size or not all(_is_evenly_spaced(row.astype(np.float64)) for row in rows):
        return None
    return say(
        "its weights are evenly spaced numbers, {least:.6g} to {most:.6g}: constants that decode the output, not trained ones",
        least=rows.min(),
        most=rows.max(),
    )


def _is_evenly_spaced(row: NDArray[np.float64]) -> bool:
    """Return whether numbers are evenly spaced, each repeated as often, and all of that again and again, as over a grid."""
    changes = np.flatnonzero(row != row[0])
    if not np.isfinite(row).all() or not len(changes) or len(row) % changes[0]:
        return False
    runs = row.reshape(-1, changes[0])
    if np.any(runs != runs[:, :1]):
        return False
    again = np.flatnonzero(runs[1:, 0] == runs[0, 0])
    period = int(again[0]) + 1 if len(again) else len(runs)
    if period < _LEAST or len(runs) % period:
        return False
    spaced = np.linspace(runs[0, 0], runs[period - 1, 0], period)
    tolerance = _ROUNDING * float(np.abs(row).max())
    return bool(np.all(np.abs(runs[:, 0].reshape(-1, period) - spaced) <= tolerance))
