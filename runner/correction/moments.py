"""Second moments of what a layer's weights multiply, and of that with what its output lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One number for all models: a share of the mean moment added to each, so that H can be inverted where inputs never vary.
_DAMPING = 0.01
# Positions of one image tell much the same, so that ten of them count as one.
_POSITIONS_A_SAMPLE = 10


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the groups of a layer; float64.

    Attributes:
        inputs: H, mean of x x', shape (groups, weights, weights).
        lacking: mean of x (f - W x)', shape (groups, weights, channels of a group): what the float layer gives and its own
            weights, on the quantized input, do not.
    """

    inputs: NDArray[np.float64]
    lacking: NDArray[np.float64]

    def target(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the real weights that lose least on the quantized input, shape (groups, channels of a group, weights).

        Args:
            weight: the float weights, shape (channels, weights).
        """
        own = weight.reshape(len(self.inputs), -1, weight.shape[1])
        return np.asarray(own + np.linalg.solve(self.inputs, self.lacking).swapaxes(-1, -2))


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Sums over some positions, a group each: of x x', x y', x and y."""

    positions: int
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]


def products(samples: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Products:
    """Return the sums over some items.

    Args:
        samples: (rows, real) an item: what the weights multiply, shape (positions, groups, weights), and the float
            layer's output without its bias, shape (positions, channels).
    """
    x = np.concatenate([rows.transpose(1, 2, 0) for rows, _ in samples], axis=2)
    y = np.concatenate([real.T for _, real in samples], axis=1).reshape(len(x), -1, x.shape[2])
    across = x.transpose(0, 2, 1)
    return Products(
        x.shape[2],
        x @ across,
        x @ y.transpose(0, 2, 1),
        x.sum(axis=2, dtype=np.float64),
        y.sum(axis=2, dtype=np.float64),
    )


def gather(parts: Iterable[Products], weight: NDArray[np.float64], *, centred: bool) -> Moments:
    """Return the moments of all groups.

    The moments of few samples are those of chance. They are drawn towards their own diagonal by ``D / (D + n)`` for D
    weights and n samples, and what is lacking is drawn towards nothing by as much.

    Args:
        parts: sums over all positions, in parts.
        weight: the float weight, shape (channels, weights).
        centred: whether to take the means off: a bias makes up for them.
    """
    count = 0
    sums: list[NDArray[np.float64]] = []
    for part in parts:
        terms = [term.astype(np.float64) for term in (part.inputs, part.outputs, part.x, part.y)]
        sums = [total + term for total, term in zip(sums, terms, strict=True)] if sums else terms
        count += part.positions
    second, cross, mean_x, mean_y = (total / count for total in sums)
    if centred:
        second = second - mean_x[:, :, np.newaxis] * mean_x[:, np.newaxis, :]
        cross = cross - mean_x[:, :, np.newaxis] * mean_y[:, np.newaxis, :]
    groups, size = second.shape[:2]
    trust = 1 - size / (size + count / _POSITIONS_A_SAMPLE)
    diagonal = np.diagonal(second, axis1=1, axis2=2)
    damping = (1 - trust) * diagonal + _DAMPING * diagonal.mean(axis=1, keepdims=True) + np.finfo(np.float64).tiny
    lacking = cross - second @ weight.reshape(groups, -1, size).swapaxes(1, 2)
    return Moments(trust * second + damping[:, :, np.newaxis] * np.eye(size), trust * lacking)
