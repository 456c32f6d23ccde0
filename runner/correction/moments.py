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
        inverse: of H; taken once, for three uses.
        lacking: mean of x (f - W x)', shape (groups, weights, channels of a group): what the float layer gives and its own
            weights, on the quantized input, do not.
    """

    inputs: NDArray[np.float64]
    inverse: NDArray[np.float64]
    lacking: NDArray[np.float64]

    def target(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the real weights that lose least on the quantized input, shape (groups, channels of a group, weights).

        Args:
            weight: the float weights, shape (channels, weights).
        """
        own = weight.reshape(len(self.inputs), -1, weight.shape[1])
        return np.asarray(own + (self.inverse @ self.lacking).swapaxes(-1, -2))


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
    weights and n samples. What is lacking is drawn towards nothing by the share that chance has in it (James and Stein
    1961), which the parts tell: what they agree on is real.

    Args:
        parts: sums over all positions, in parts that hold different items.
        weight: the float weight, shape (channels, weights).
        centred: whether to take the means off: a bias makes up for them.
    """
    parts = list(parts)
    groups, _, size = parts[0].inputs.shape
    count = sum(part.positions for part in parts)
    own = weight.reshape(groups, -1, size).swapaxes(1, 2)
    second, mean_x, mean_y = (
        sum(getattr(part, name).astype(np.float64) for part in parts) / count for name in ("inputs", "x", "y")
    )
    mean_r = mean_y - (mean_x[:, np.newaxis, :] @ own)[:, 0, :]
    if centred:
        second = second - mean_x[:, :, np.newaxis] * mean_x[:, np.newaxis, :]
    else:
        mean_x, mean_r = np.zeros_like(mean_x), np.zeros_like(mean_r)
    trust = 1 - size / (size + count / _POSITIONS_A_SAMPLE)
    diagonal = np.diagonal(second, axis1=1, axis2=2)
    damping = (1 - trust) * diagonal + _DAMPING * diagonal.mean(axis=1, keepdims=True) + np.finfo(np.float64).tiny
    inputs = trust * second + damping[:, :, np.newaxis] * np.eye(size)
    lacks = np.stack([_lacking(part, own, mean_x, mean_r) for part in parts])
    inverse = np.linalg.inv(inputs)
    return Moments(inputs, inverse, _real_share(inverse, lacks) * lacks.sum(axis=0) / count)


def _lacking(
    part: Products, own: NDArray[np.float64], mean_x: NDArray[np.float64], mean_r: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of (x - mean x) (r - mean r)' over a part, r = y - W x; shape (groups, weights, channels)."""
    x, y = part.x, part.y
    r = y - (x[:, np.newaxis, :] @ own)[:, 0, :]
    sums = part.outputs - part.inputs.astype(np.float64) @ own
    sums -= x[:, :, np.newaxis] * mean_r[:, np.newaxis, :] + mean_x[:, :, np.newaxis] * r[:, np.newaxis, :]
    return np.asarray(sums + part.positions * mean_x[:, :, np.newaxis] * mean_r[:, np.newaxis, :])


def _real_share(inverse: NDArray[np.float64], lacks: NDArray[np.float64]) -> float:
    """Return how much of what is lacking, by the output that it explains, is more than chance; lacks (parts, ...)."""
    parts = len(lacks)
    if parts < 2:
        return 0.0
    whole = lacks.mean(axis=0)
    # The variance of a mean of so many parts.
    chance = sum(_explained(inverse, part - whole) for part in lacks) / (parts * (parts - 1))
    return max(0.0, 1 - chance / max(_explained(inverse, whole), np.finfo(np.float64).tiny))


def _explained(inverse: NDArray[np.float64], lacking: NDArray[np.float64]) -> float:
    return float(np.sum(lacking * (inverse @ lacking)))
