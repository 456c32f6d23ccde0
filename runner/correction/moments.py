"""Second moments of what a layer's weights multiply, and of that with what its output lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runner.correction.parallel import each_of
from runner.correction.patches import Rows

# One number for all models: a share of the mean moment added to each, so that H can be inverted where inputs never vary.
_DAMPING = 0.01
# Of the sum of an input's squares: what rounding may add to an eigenvalue of its moments.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
# Positions of one image tell much the same, so that ten of them count as one.
_POSITIONS_A_SAMPLE = 10
# Values that are laid out at once, of as many groups as that is: few enough for a processor's cache, many enough for threads
# not to wait for Python.
_VALUES = 400_000


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the groups of a layer; float64.

    Attributes:
        inputs: H, mean of x x', shape (groups, weights, weights).
        inverse: of H.
        moves: what the weights have to gain so that they lose least on the quantized input: H^-1 times the mean of
            x (f - W x)', what the float layer gives and its own weights do not; shape (groups, weights, channels of a group).
    """

    inputs: NDArray[np.float64]
    inverse: NDArray[np.float64]
    moves: NDArray[np.float64]

    def target(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the real weights that lose least on the quantized input, shape (groups, channels of a group, weights).

        Args:
            weight: the float weights, shape (channels, weights).
        """
        return np.asarray(weight.reshape(len(self.inputs), -1, weight.shape[1]) + self.moves.swapaxes(-1, -2))


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Sums over some positions, a group each: of x x', x y', x and y."""

    positions: int
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def plus(self, other: Products) -> Products:
        """Return the sums over the positions of both, in the arrays of this one."""
        for name in ("inputs", "outputs", "x", "y"):
            array = getattr(self, name)
            array += getattr(other, name)
        return replace(self, positions=self.positions + other.positions)


def products(rows: Rows, real: NDArray[np.float32]) -> Products:
    """Return the sums over some items.

    Args:
        rows: what the weights multiply.
        real: the float layer's output without its bias, shape (channels, positions).
    """
    groups, positions = len(rows.values), rows.positions
    y = real.reshape(groups, len(real) // groups, positions)
    at_once = max(1, _VALUES // (rows.weights * positions))
    blocks = [slice(first, first + at_once) for first in range(0, groups, at_once)]
    sums = zip(*(_sums(rows.of(block), y[block]) for block in blocks), strict=True)
    return Products(positions, *(np.concatenate(parts) for parts in sums))


def _sums(
    x: NDArray[np.float32], y: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    sum_x, sum_y = (array.sum(axis=2, dtype=np.float64) for array in (x, y))
    return x @ x.swapaxes(1, 2), x @ y.swapaxes(1, 2), sum_x, sum_y


def second_moments(parts: Sequence[Products], *, centred: bool) -> NDArray[np.float64]:
    """Return H of all groups, positive definite, shape (groups, weights, weights).

    The moments of few samples are those of chance. They are drawn towards their own diagonal by ``D / (D + n)`` for D
    weights and n samples.

    Args:
        parts: sums over all positions.
        centred: whether to take the means off: a bias makes up for them.
    """
    size, count = parts[0].inputs.shape[1], sum(part.positions for part in parts)
    # In place from here on: of a wide layer one such array holds hundreds of megabytes.
    second = _summed([part.inputs for part in parts])
    second /= count
    diagonal = np.einsum("gii->gi", second)  # a view
    # Sums of float32 products know no more of what is left when their means are taken off; of no input at all H is anything.
    least = _ROUNDING * diagonal.sum(axis=1, keepdims=True)
    least[least == 0] = 1.0
    if centred:
        mean = _summed([part.x for part in parts]) / count
        second -= mean[:, :, np.newaxis] * mean[:, np.newaxis, :]
    trust = 1 - size / (size + count / _POSITIONS_A_SAMPLE)
    damping = (1 - trust) * np.maximum(diagonal, 0) + np.maximum(_DAMPING * diagonal.mean(axis=1, keepdims=True), least)
    second *= trust
    diagonal += damping
    return second


def _summed(arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    total = np.zeros(arrays[0].shape)
    for array in arrays:
        total += array
    return total


def gather(parts: Sequence[Products], weight: NDArray[np.float64], *, centred: bool, callers: int = 1) -> Moments:
    """Return the moments of all groups.

    What is lacking is drawn towards nothing by the share that chance has in it (James and Stein 1961), which the parts
    tell: what they agree on is real.

    Args:
        parts: sums over all positions, in parts that hold different items.
        weight: the float weight, shape (channels, weights).
        centred: whether to take the means off: a bias makes up for them.
        callers: threads to work in.
    """
    groups, size = parts[0].inputs.shape[:2]
    count = sum(part.positions for part in parts)
    own = weight.reshape(groups, -1, size).swapaxes(1, 2)
    mean_x, mean_y = (_summed([part.x for part in parts]) / count, _summed([part.y for part in parts]) / count)
    mean_r = mean_y - (mean_x[:, np.newaxis, :] @ own)[:, 0, :]
    if not centred:
        mean_x, mean_r = np.zeros_like(mean_x), np.zeros_like(mean_r)
    inputs = second_moments(parts, centred=centred)
    # Side by side: none needs another.
    inverse, *lacks = each_of(
        lambda part: np.linalg.inv(inputs) if part is None else _lacking(part, own, mean_x, mean_r),
        [None, *parts],
        callers,
    )
    moves = each_of(lambda lack: inverse @ lack, lacks, callers)
    squares = sum(float(np.vdot(lack, move)) for lack, move in zip(lacks, moves, strict=True))
    move = np.asarray(sum(moves))
    share = _real_share(float(np.vdot(sum(lacks), move)), squares, len(parts))
    return Moments(inputs, np.asarray(inverse, np.float64), share * move / count)


def _lacking(
    part: Products, own: NDArray[np.float64], mean_x: NDArray[np.float64], mean_r: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of (x - mean x) (r - mean r)' over a part, r = y - W x; shape (groups, weights, channels)."""
    r = part.y - (part.x[:, np.newaxis, :] @ own)[:, 0, :]
    lacks = part.outputs - part.inputs.astype(np.float64) @ own
    lacks -= part.x[:, :, np.newaxis] * mean_r[:, np.newaxis, :]
    lacks -= mean_x[:, :, np.newaxis] * (r - part.positions * mean_r)[:, np.newaxis, :]
    return np.asarray(lacks)


def _real_share(whole: float, squares: float, parts: int) -> float:
    """Return how much of what is lacking is more than chance, by the output that it explains.

    Args:
        whole: what the sum of all parts explains, ``|sum l|^2`` under H^-1.
        squares: what the parts explain, each alone, in all.
        parts: how many.
    """
    if parts < 2:
        return 0.0
    # The variance of a sum of so many parts, from how they differ.
    chance = (squares - whole / parts) * parts / (parts - 1)
    return max(0.0, 1 - chance / max(whole, np.finfo(np.float64).tiny))
