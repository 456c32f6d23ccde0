"""The error of a layer's forms on items that no correction looks at, over some of their positions.

A form that still gets its bias is judged as if it had it: by what is left once the mean errors behind the activation are made
up for, on the very items. That favours no form, for all have as many biases; and only the form that is chosen has to run on
the other items, for the bias that it gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.correction.affine import Clipping, Outputs, fit_layer
from runner.correction.positions import some_positions, unit_of_squares
from runner.correction.what_follows import Activation
from runner.graph.layers import Layer

# Over all items held back, at most. The forms answer the same positions, so that chance hardly tells them apart.
_POSITIONS = 2_500
# The mean of fewer positions takes too much of what tells forms apart with it.
_FEW = 4
# Of a fit: near enough to compare forms.
_STEPS = 2
# Sums of squares below it may lack terms that float32 does not hold.
_SMALL = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class HeldBack:
    """What the float layer gives for the items held back.

    Attributes:
        layer: whose outputs they are.
        items: which.
        real: its outputs at some positions, shape (channels, positions).
        behind: the same behind the activation that follows.
        activation: that one.
        clipping: what it is taken for where biases are fitted.
        callers: threads to work in.
    """

    layer: Layer
    items: tuple[int, ...]
    real: Outputs
    behind: Outputs
    activation: Activation
    clipping: Clipping
    callers: int

    @classmethod
    def of(
        cls,
        layer: Layer,
        outputs: Mapping[int, NDArray[np.float32]],
        activation: Activation,
        clipping: Clipping,
        callers: int,
    ) -> HeldBack:
        """Return the items held back; ``outputs``: of the float layer, by item."""
        real = _sample(outputs, tuple(outputs), layer, callers)
        return cls(layer, tuple(outputs), real, activation(real), activation, clipping, callers)

    def error(self, outputs: Mapping[int, NDArray[np.float32]], *, bias_to_come: bool) -> float:
        """Return a form's share of noise: sum (f - q)^2 / sum f^2 behind the activation; infinite where nothing is comparable.

        Args:
            outputs: of the form, by item.
            bias_to_come: whether its mean errors will be made up for.
        """
        found = _sample(outputs, self.items, self.layer, self.callers)
        if bias_to_come and self.real.shape[1] >= _FEW:
            fit = fit_layer(found.T, self.real.T, self.clipping, with_factor=False, steps=_STEPS, callers=self.callers)
            if fit is not None:
                found = found + fit.shift.astype(np.float32)[:, np.newaxis]
        signal, noise = _square(self.behind), _square(self.behind - self.activation(found))
        share = noise / signal if signal else noise
        return share if self.items and math.isfinite(share) else math.inf


def _sample(
    outputs: Mapping[int, NDArray[np.float32]], items: tuple[int, ...], layer: Layer, callers: int
) -> NDArray[np.float32]:
    """Return some positions of some items, shape (channels, positions)."""
    if not items:
        return np.zeros((layer.channels, 0), np.float32)
    return some_positions(lambda place: outputs[items[place]], layer, len(items), _POSITIONS, callers)[0].T


def _square(values: Outputs) -> float:
    """Return the sum of squares."""
    total = _sum_of_squares(values)
    if math.isfinite(total) and total > _SMALL:
        return total
    unit = unit_of_squares(values)
    return _sum_of_squares(values / unit) * unit**2


def _sum_of_squares(values: Outputs) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.einsum("cp,cp->c", values, values).sum(dtype=np.float64))
