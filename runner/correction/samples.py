"""The positions of a layer's input and output that its second moments are summed over, in parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import rounded
from runner.correction.layer_state import LayerState
from runner.correction.parallel import each_of
from runner.correction.patches import WHOLE, Part, Patches, Rows
from runner.correction.positions import by_channel
from runner.graph.added_bias import float_bias

# For each weight of an output channel, over all items: moments of fewer are those of chance (``second_moments``).
_POSITIONS_A_WEIGHT = 100
_FEWEST_POSITIONS, _MOST_POSITIONS = 10_000, 60_000
# Items that the moments of a large image are taken over, at least.
_LEAST_ITEMS = 16
# Parts that moments are summed in, side by side: each holds sums as large as H.
PARTS = 4
# Values of a part that are laid out at once; what lies beyond is added to it.
_VALUES = 12_000_000

S = TypeVar("S")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Of one layer.

    Attributes:
        state: the layer, and what it reads and gives.
        cut: cuts rows out of its input.
        step: from one position of an item to the next.
        sizes: how many positions of an item there are, by item.
        parts: items of each part.
    """

    state: LayerState
    cut: Patches
    step: int
    sizes: dict[int, int]
    parts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, state: LayerState) -> Samples | None:
        """Return the samples of a layer; None where no item has a position."""
        sizes = {item: len(by_channel(state.float_outputs[item], state.layer)) for item in state.comparable}
        if not any(sizes.values()):
            return None
        cut = Patches(state.start.model.graph, state.node, state.layer, state.engine)
        wanted = min(max(_POSITIONS_A_WEIGHT * cut.weights, _FEWEST_POSITIONS), _MOST_POSITIONS)
        positions = max(1, sum(sizes.values()) // len(sizes))
        items = min(len(sizes), max(_LEAST_ITEMS, -(-wanted // positions)))
        step = max(1, items * positions // wanted)
        # Of those that have a position at all.
        some = [item for item, size in sizes.items() if size > item % step][:items]
        parts = tuple(tuple(some[first::PARTS]) for first in range(min(len(some), PARTS)))
        return cls(state, cut, step, {item: len(range(item % step, sizes[item], step)) for item in some}, parts)

    def rows(self, item: int, part: Part = WHOLE) -> Rows:
        """Return what the weights of some inputs multiply in an item, rounded as the layer rounds it."""
        params = self.state.quantized.record.activation
        where = self._where(item)
        return self.cut(self.state.input(item), where, lambda x: rounded(x, params.scale, params.zero_point), part)

    def real(self, item: int) -> NDArray[np.float32]:
        """Return what the float layer gives without its bias, shape (channels, positions)."""
        bias = float_bias(self.state.node)
        column = np.zeros((1, 1), np.float32) if bias is None else bias[:, np.newaxis]
        return by_channel(self.state.float_outputs[item], self.state.layer).T[:, self._where(item)] - column

    def each_part(self, summed: Callable[[list[int]], S], plus: Callable[[S, S], S], values: int) -> list[S]:
        """Return the sums of each part, taken over as many of its items at once as memory is meant to hold.

        Args:
            summed: sums of some items.
            plus: adds two of them.
            values: that one position takes.
        """

        def of_part(items: tuple[int, ...]) -> S:
            first, *others = self._at_once(items, values)
            total = summed(first)
            for some in others:
                total = plus(total, summed(some))
            return total

        return each_of(of_part, self.parts, self.state.engine.callers)

    def _at_once(self, items: tuple[int, ...], values: int) -> list[list[int]]:
        found: list[list[int]] = []
        held = _VALUES
        for item in items:
            more = values * self.sizes[item]
            if held + more > _VALUES or not found:
                found.append([])
                held = 0
            found[-1].append(item)
            held += more
        return found

    def _where(self, item: int) -> slice:
        # The first position moves from item to item, so that no column of the image is left out.
        return slice(item % self.step, None, self.step)
