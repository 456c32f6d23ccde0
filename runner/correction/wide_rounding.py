"""Compensated rounding of a layer whose second moments would take too much memory: in blocks of its inputs.

H grows with the square of what an output sums: the 25 088 inputs of VGG's first Gemm take 5 GB for H alone. What is too wide
is cut into blocks of inputs, and the moments between blocks are taken for 0. Each block is then a problem of its own, one
after the other, and makes up for its own errors. Its target is the float weight: each of several blocks would make up for the
same lack.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.correction.gptq import CHANNELS, Matrices, Problem, nearest
from runner.correction.layer_state import LayerState
from runner.correction.moments import Products, products, second_moments
from runner.correction.parallel import each_of
from runner.correction.patches import Part, Rows
from runner.correction.samples import Samples
from runner.graph.layers import Layer
from runner.graph.smoothing import smoothed_rows

logger = logging.getLogger(__name__)

# Bytes that rounding may take beside what the model needs, and what it takes, measured: for a value of H, and for a weight.
_MOST = 400_000_000
_PER_MOMENT, _PER_WEIGHT = 60, 100
# Inputs of a block, at most: its moments take 65 MB.
BLOCK = 1024
# The kernel of one input is in one block whatever its size, up to this one.
_LARGEST = 2 * BLOCK
# Values that the errors of all channels are held in, and positions that they are taken at, at most.
_ERROR_VALUES, _ERROR_POSITIONS = 8_000_000, 4000


def is_wide(layer: Layer, shape: tuple[int, ...]) -> bool:
    """Return whether the moments of a layer, and what is made of them, take too much memory.

    Args:
        layer: what it is.
        shape: of its weight as rows.
    """
    outputs, inputs = shape[0], int(np.prod(shape[1:]))
    return _PER_MOMENT * layer.group * inputs**2 + _PER_WEIGHT * outputs * inputs > _MOST


def rounded_in_blocks(samples: Samples) -> NDArray[np.int8] | None:
    """Return the codes of a layer's weight as rows; None where nothing tells them.

    No channel has a larger output error, over some of the positions, than rounding to nearest gives it.
    """
    weight = WideWeight.of(samples.state)
    blocks = weight.blocks()
    name, kernel = samples.state.layer.name, weight.real.shape[3]
    if kernel > _LARGEST:
        logger.info("rounding of '%s' to nearest: its kernel of %d places has too many moments", name, kernel)
        return None
    size = max(weight.width(block) for block in blocks)
    logger.info("compensated rounding of '%s': %d inputs, moments in blocks of %d", name, weight.inputs, size)
    errors = OutputErrors.of(samples, weight)
    for block in blocks:
        problem = _problem(samples, block, weight.width(block))
        if problem is None:
            return None
        _solve(weight, block, problem, errors, samples)
    weight.round_to_nearest(errors.larger(centred=samples.state.fits_bias()))
    return weight.as_rows()


def _problem(samples: Samples, block: Part, width: int) -> Problem | None:
    """Return the problem of a block; None where its moments leave float32."""

    def summed(items: list[int]) -> Products:
        rows = Rows.joined([samples.rows(item, block) for item in items])
        return products(rows, np.empty((0, rows.positions), np.float32))

    groups = block[0].stop - block[0].start
    sums = samples.each_part(summed, Products.plus, groups * width)
    if not all(np.isfinite(each.inputs).all() for each in sums):
        return None
    moments = second_moments(sums, centred=samples.state.fits_bias())
    del sums
    return Problem.of(moments, np.asarray(np.linalg.inv(moments), np.float64))


def _solve(weight: WideWeight, block: Part, problem: Problem, errors: OutputErrors, samples: Samples) -> None:
    """Put the codes of a block into the weight, and their errors to the others'."""
    x = errors.columns(samples, block)

    def solve(channels: slice) -> None:
        target = weight.target(block, channels)
        codes = problem.codes(target, weight.largest_code)
        weight.put(block, channels, codes)
        differences = np.stack([nearest(target, weight.largest_code) - target, codes - target]).astype(np.float32)
        errors.sums[:, block[0], channels] += differences @ x

    each_of(solve, weight.channels(), samples.state.engine.callers)


@dataclass(frozen=True, slots=True, eq=False)
class WideWeight:
    """A layer's weight and its codes.

    Attributes:
        real: shape (groups, channels of one, inputs of one, kernel).
        scales: shape (groups, channels of one, 1).
        codes: of the shape of ``real``, and laid out in memory as it is.
        shape: of the weight as rows.
        largest_code: see ``least_error``.
    """

    real: NDArray[np.float32]
    scales: NDArray[np.float64]
    codes: NDArray[np.int8]
    shape: tuple[int, ...]
    largest_code: int

    @classmethod
    def of(cls, state: LayerState) -> WideWeight:
        """Return the weight of a layer, its codes not yet known."""
        layer, record = state.layer, state.quantized.record
        rows = smoothed_rows(state.node, layer, record.balance_factors)
        scales = np.broadcast_to(np.asarray(record.weight_scales, np.float64), (layer.channels,))
        real = rows.reshape(layer.group, len(rows) // layer.group, rows.shape[1], -1)
        codes = np.empty_like(real, np.int8)
        return cls(real, scales.reshape(layer.group, -1, 1), codes, rows.shape, layer.largest_code)

    @property
    def inputs(self) -> int:
        """How many inputs an output sums."""
        return int(np.prod(self.shape[1:]))

    def blocks(self) -> list[Part]:
        """Return the blocks: some inputs of one group, or all of some groups."""
        groups, _, inputs, kernel = self.real.shape
        count = min(inputs, -(-inputs * kernel // BLOCK))
        size = -(-inputs // count)
        at_once = max(1, BLOCK**2 // (size * kernel) ** 2)
        return [
            (slice(group, min(group + at_once, groups)), slice(first, min(first + size, inputs)))
            for group in range(0, groups, at_once)
            for first in range(0, inputs, size)
        ]

    def width(self, block: Part) -> int:
        """Return how many inputs of one output a block has."""
        return int((block[1].stop - block[1].start) * self.real.shape[3])

    def channels(self) -> list[slice]:
        """Return the channels of a group that are looked at together."""
        return [slice(first, first + CHANNELS) for first in range(0, self.real.shape[1], CHANNELS)]

    def target(self, block: Part, channels: slice) -> Matrices:
        """Return the weights of a block in units of their scales, shape (groups, channels, weights)."""
        groups, inputs = block
        real = self.real[groups, channels, inputs].astype(np.float64)
        return np.asarray(real.reshape(*real.shape[:2], -1) / self.scales[groups, channels])

    def put(self, block: Part, channels: slice, codes: Matrices) -> None:
        """Take the codes of a block."""
        place = self.codes[block[0], channels, block[1]]
        place[...] = codes.reshape(place.shape)

    def round_to_nearest(self, channels: NDArray[np.bool_]) -> None:
        """Round some channels to nearest instead; ``channels`` has shape (groups, channels of one)."""
        for group, channel in np.argwhere(channels):
            target = self.real[group, channel].astype(np.float64) / self.scales[group, channel]
            self.codes[group, channel] = nearest(target, self.largest_code)

    def as_rows(self) -> NDArray[np.int8]:
        """Return all codes as rows."""
        return self.codes.reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class OutputErrors:
    """What rounding does to the outputs at some positions, in units of the weights' scales.

    Attributes:
        items: whose positions they are.
        sums: of the blocks so far, rounded to nearest and compensated; shape (2, groups, channels of one, positions).
    """

    items: tuple[int, ...]
    sums: NDArray[np.float32]

    @classmethod
    def of(cls, samples: Samples, weight: WideWeight) -> OutputErrors:
        """Return errors of 0, of as many positions as are worth their memory."""
        groups, channels = weight.real.shape[:2]
        most = max(1, min(_ERROR_POSITIONS, _ERROR_VALUES // (groups * channels)))
        items: list[int] = []
        held = 0
        for item in samples.sizes:
            if held < most:
                items.append(item)
                held += samples.sizes[item]
        return cls(tuple(items), np.zeros((2, groups, channels, min(held, most)), np.float32))

    def columns(self, samples: Samples, block: Part) -> NDArray[np.float32]:
        """Return what the weights of a block multiply at these positions, shape (groups, weights, positions)."""
        rows = Rows.joined([samples.rows(item, block) for item in self.items]).of(slice(None))
        return rows[:, :, : self.sums.shape[-1]]

    def larger(self, *, centred: bool) -> NDArray[np.bool_]:
        """Return where the compensated codes err more, shape (groups, channels of one).

        Args:
            centred: whether a bias makes up for mean errors.
        """
        plain, compensated = (
            np.var(errors, axis=-1, dtype=np.float64)
            if centred
            else np.mean(np.square(errors), axis=-1, dtype=np.float64)
            for errors in self.sums
        )
        return np.asarray(compensated > plain)
