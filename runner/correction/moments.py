"""Second moments of what a layer's weights multiply, and of that with what its output lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One number for all models: a share of the mean moment added to each, so that H can be inverted where inputs never vary.
_DAMPING = 0.01
# Positions of one image tell much the same, so that ten of them count as one.
_POSITIONS_A_SAMPLE = 10


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of one group of a layer; float64.

    Attributes:
        inputs: H, mean of x x', shape (weights, weights).
        lacking: mean of x (f - W x)', shape (weights, channels): what the float layer gives and its own weights, on the
            quantized input, do not.
    """

    inputs: NDArray[np.float64]
    lacking: NDArray[np.float64]

    def target(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the real weights, shape (channels, weights), that lose least on the quantized input."""
        return weight + np.linalg.solve(self.inputs, self.lacking).T


def gather(
    samples: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
    weight: NDArray[np.float64],
    *,
    centred: bool,
) -> list[Moments]:
    """Return the moments of each group.

    The moments of few samples are those of chance. They are drawn towards their own diagonal by ``D / (D + n)`` for D
    weights and n samples, and what is lacking is drawn towards nothing by as much.

    Args:
        samples: (rows, real) an item: what the weights multiply, shape (positions, groups, weights), and the float
            layer's output without its bias, shape (positions, channels).
        weight: the float weight, shape (channels, weights).
        centred: whether to take the means off: a bias makes up for them.
    """
    sums: list[NDArray[np.float64]] = []
    count = 0
    for rows, real in samples:
        x = np.ascontiguousarray(rows.transpose(1, 2, 0))
        y = real.reshape(len(real), x.shape[0], -1).transpose(1, 0, 2)
        parts = (x @ x.transpose(0, 2, 1), x @ y, x.sum(axis=2, dtype=np.float64), y.sum(axis=1, dtype=np.float64))
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else [p.astype(np.float64) for p in parts]
        count += len(real)
    second, cross, mean_x, mean_y = (total / count for total in sums)
    if centred:
        second = second - mean_x[:, :, np.newaxis] * mean_x[:, np.newaxis, :]
        cross = cross - mean_x[:, :, np.newaxis] * mean_y[:, np.newaxis, :]
    groups, size = second.shape[0], second.shape[1]
    trust = 1 - size / (size + count / _POSITIONS_A_SAMPLE)
    moments = []
    for group, rows_of_group in enumerate(weight.reshape(groups, -1, size)):
        own, diagonal = second[group], np.diag(second[group])
        damping = (1 - trust) * diagonal + _DAMPING * diagonal.mean() + np.finfo(np.float64).tiny
        lacking = cross[group] - own @ rows_of_group.T
        moments.append(Moments(trust * own + np.diag(damping), trust * lacking))
    return moments
