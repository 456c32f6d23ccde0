"""Fit a quantized layer's output to the float layer's, channel by channel: a shift of the bias, and a factor on the scale.

What follows the layer decides what an error costs. Where a Relu cuts everything below 0 off, the values far below it may be
as wrong as they like; a bias that corrects *their* mean does harm to the others. (Measured on a MobileNetV2: correcting the
mean before the Relu, layer by layer with quantized inputs, shrinks the signal a little in every layer, 12 % in all, and
multiplies KL by four; correcting what comes out of the Relu halves it.) So the fit minimises

    sum (phi(f) - phi(a x + b))^2

over positions, with phi the clipping that follows, by Gauss-Newton from the matched means; without clipping that is linear
regression, and one step gives it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runner.correction.parallel import each_of
from runner.correction.positions import largest_of, unit_of
from runner.correction.shrinkage import PerChannel, shrunk

# Outputs, a channel a row: shape (channels, positions).
Outputs = NDArray[np.float32]

# At most. A channel stays where one moves it by less than this share of its deviation, which chance exceeds.
_STEPS, _ENOUGH = 4, 1e-3
# Channels that are fitted at once: few enough for their positions to stay in the processor's cache.
_CHANNELS = 32
# A channel that is hardly ever between the clipping's ends says little: the mean and the factor 1 count as this share of
# the positions.
_PRIOR = 0.01
# The factor makes up for rounding; a larger one would be another model.
_LEAST_FACTOR, _LARGEST_FACTOR = 0.8, 1.25


@dataclass(frozen=True, slots=True)
class Clipping:
    """What is done to a layer's output before anything else reads it: ``clip(y, low, high)``.

    ``y`` has the shape (channels, positions); the upper end may be one for each channel, of shape (channels, 1).
    """

    low: float = -np.inf
    high: float | NDArray[np.float32] = np.inf

    def __call__(self, y: Outputs, out: Outputs | None = None) -> Outputs:
        """Return ``y`` clipped; ``out`` says where to."""
        return np.clip(y, np.float32(self.low), np.float32(self.high), out=out)

    def of(self, channels: slice) -> Clipping:
        """Return the clipping of some of the channels."""
        return Clipping(self.low, self.high[channels]) if isinstance(self.high, np.ndarray) else self

    def in_units(self, unit: float) -> Clipping:
        """Return the clipping of outputs counted in a unit."""
        return Clipping(self.low / unit, self.high / unit)

    def passes(self, y: Outputs) -> Outputs:
        """Return 1 where a change of ``y`` changes the result, 0 elsewhere."""
        passes = y > self.low
        if isinstance(self.high, np.ndarray) or self.high < np.inf:
            passes &= y < self.high
        return passes.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """``factor * x + shift`` is nearest to the float output; float64 of shape (channels,).

    Attributes:
        factor: a.
        level: what the mean of the quantized output becomes.
        means, spread: mean and variance of the quantized output.
        factor_chance, level_chance: variances of the estimates, from how the items differ; 0 where there is only one.
    """

    factor: PerChannel
    level: PerChannel
    means: PerChannel
    spread: PerChannel
    factor_chance: PerChannel
    level_chance: PerChannel

    @property
    def shift(self) -> PerChannel:
        """What is added."""
        return self.level - self.factor * self.means

    @classmethod
    def of(cls, parts: Sequence[Fit]) -> Fit:
        """Return the fit of all channels, from those of some each."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def times(self, unit: float) -> Fit:
        """Return the fit of outputs that were counted in a unit."""
        square = unit * unit
        return replace(
            self,
            level=self.level * unit,
            means=self.means * unit,
            spread=self.spread * square,
            level_chance=self.level_chance * square,
        )

    def shrunk(self) -> Fit:
        """Return the fit, drawn towards leaving the output as it is by what chance adds to it."""
        factor = 1 + shrunk(self.factor - 1, self.factor_chance)
        # In units of each channel's own deviation: what channels have in common must not depend on how they are scaled.
        shift = shrunk((self.level - self.means) / np.sqrt(self.spread), self.level_chance / self.spread)
        return replace(self, factor=factor, level=self.means + shift * np.sqrt(self.spread))


def fit_layer(
    quantized: Outputs,
    real: Outputs,
    clipping: Clipping,
    *,
    with_factor: bool,
    firsts: Sequence[int] = (0,),
    steps: int = _STEPS,
    callers: int = 1,
) -> Fit | None:
    """Return the fit of all channels of a layer, as ``fit_outputs``; None where there is nothing that is finite to fit to.

    Outputs whose squares float32 does not hold are fitted in units in which it does.
    """
    if not len(real) or not (np.isfinite(largest := largest_of(real)) and np.isfinite(largest_of(quantized))):
        return None
    unit = unit_of(largest)
    if unit != 1:
        quantized, real, clipping = quantized / unit, real / unit, clipping.in_units(unit)
    blocks = [slice(first, first + _CHANNELS) for first in range(0, real.shape[1], _CHANNELS)]
    fits = each_of(
        lambda block: fit_outputs(
            quantized[:, block], real[:, block], clipping.of(block), with_factor=with_factor, firsts=firsts, steps=steps
        ),
        blocks,
        callers,
    )
    fit = Fit.of(fits)
    return fit if unit == 1 else fit.times(unit)


def fit_outputs(
    quantized: Outputs,
    real: Outputs,
    clipping: Clipping,
    *,
    with_factor: bool,
    firsts: Sequence[int] = (0,),
    steps: int = _STEPS,
) -> Fit:
    """Return the fit of a layer.

    Args:
        quantized: its output, shape (positions, channels).
        real: the float layer's.
        clipping: what follows.
        with_factor: whether to fit a factor too; otherwise it is 1.
        firsts: the positions that the items begin at. Those of one item tell much the same, so chance is between items.
        steps: at most.
    """
    # Sums run along rows of memory.
    raw, real = np.ascontiguousarray(quantized.T), np.ascontiguousarray(real.T)
    prior = _PRIOR * real.shape[1]
    means, target = raw.mean(axis=1, dtype=np.float64), real.mean(axis=1, dtype=np.float64)
    x, wanted = raw - _column(means), clipping(real)
    spread = _sums(x, x) / real.shape[1] + np.finfo(np.float32).tiny
    factor, level = np.ones_like(means), target.copy()
    moves = np.ones(len(means), bool)
    for _ in range(1 if clipping == Clipping() else steps):
        y = x * _column(factor)
        y += _column(level)
        passes = clipping.passes(y)
        left = np.subtract(wanted, clipping(y, out=y), out=y)
        left *= passes
        # Normal equations of the step, with the prior's pull.
        n = passes.sum(axis=1).astype(np.float64) + prior  # of ones: exact
        s1, s2 = np.zeros_like(n), np.ones_like(n)
        r0, r1 = left.sum(axis=1).astype(np.float64) + prior * (target - level), np.zeros_like(n)
        if with_factor:
            s1 = _sums(passes, x)
            r1 = _sums(left, x) + prior * spread * (1 - factor)
            passes *= x
            s2 = _sums(passes, x) + prior * spread
        determinant = n * s2 - s1 * s1
        up, wider = (s2 * r0 - s1 * r1) / determinant, (n * r1 - s1 * r0) / determinant
        level = np.where(moves, level + up, level)
        factor = np.where(moves, np.clip(factor + wider, _LEAST_FACTOR, _LARGEST_FACTOR), factor)
        moves &= (np.abs(wider) > _ENOUGH) | (np.abs(up) > _ENOUGH * np.sqrt(spread))
        if not moves.any():
            break
    # What each item alone adds to the last step: how these differ tells what chance does to their sum.
    r0 = np.add.reduceat(left, firsts, axis=1).astype(np.float64).T
    r1 = np.zeros_like(r0)
    if with_factor:
        left *= x
        r1 = np.add.reduceat(left, firsts, axis=1).astype(np.float64).T
    level_chance, factor_chance = (
        _variance_of_sum(steps) for steps in ((s2 * r0 - s1 * r1) / determinant, (n * r1 - s1 * r0) / determinant)
    )
    return Fit(factor, level, means, spread, factor_chance, level_chance)


def _variance_of_sum(terms: NDArray[np.float64]) -> PerChannel:
    """Return the variance of the sum of terms, shape (items, channels), from how they differ; 0 of a single one."""
    count = len(terms)
    return count * terms.var(axis=0, ddof=1) if count > 1 else np.zeros(terms.shape[1])


def _column(values: PerChannel) -> Outputs:
    return values.astype(np.float32)[:, np.newaxis]


def _sums(a: Outputs, b: Outputs) -> PerChannel:
    """Return each row's inner product."""
    return np.asarray(np.einsum("cp,cp->c", a, b), np.float64)
