"""Every layer on a few items in three ways, with graph optimisations off.

The fake-quant file; the deploy file with the kernels of the full pass; and with uint8 operators that no CPU saturates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.errors import VerificationError
from runner.verify.bits import difference_in_words, same_bits
from runner.verify.compare import FilePair
from runner.verify.deploy_file import IntegerModel
from runner.verify.execute import executable
from runner.verify.layer_outputs import LayerOutputs, Way, Ways, layer_bytes
from runner.verify.portions import portions

# Beyond the last code nothing is rounded.
_CODES = 128


@dataclass(frozen=True, slots=True, eq=False)
class CrossChecked:
    """What the layers of a few items showed.

    Attributes:
        items: those.
        ties: how many values lay exactly between two codes before they were rounded, in all items.
        outputs: of both files by item, which are the same; none where nothing is quantized.
    """

    items: Subset
    ties: int
    outputs: Mapping[int, Mapping[str, NDArray[Any]]]


def cross_check(deploy: IntegerModel, pair: FilePair, items: Subset, engine: Engine) -> CrossChecked:
    """Compare every layer's output over items, bit for bit, then the outputs of both files, and count ties.

    Raises:
        VerificationError: a layer's or model's output differs; names the layer.
    """
    pair.refuse_missing(items)
    checks = _Checks(deploy, pair, items, engine)
    for portion in portions(checks.sizes):
        checks.check(portion)
    return CrossChecked(items, sum(found or 0 for found in checks.ties.values()), checks.outputs)


class _Checks:
    """The ways, and what is known of the items: how many ties each had so far, None where a value was NaN."""

    def __init__(self, deploy: IntegerModel, pair: FilePair, items: Subset, engine: Engine) -> None:
        self._path, self._pair, self._items, self._engine = deploy.path, pair, items, engine
        integers = executable(deploy, integer_kernels=True)
        self._ways = [Way(integers.model, integers.outputs, _unrounded(deploy, integers.unrounded)), *pair.ways]
        self.sizes = layer_bytes(self._ways[0], pair.feeds(items, items.indices[0]), engine)
        self.ties: dict[int, int | None] = dict.fromkeys(items.indices, 0)
        self.outputs: dict[int, Mapping[str, NDArray[Any]]] = {}

    def check(self, layers: Sequence[str]) -> None:
        """Compare some layers, and behind the last ones the outputs.

        Raises:
            VerificationError: an output differs; names the layer.
        """
        ways = Ways(self._ways, layers, self._engine, last=layers[-1] == next(reversed(self.sizes)))

        def compared(item: BoundItem) -> tuple[int | None, Mapping[str, NDArray[Any]]]:
            outputs, index = ways.each(item.feeds), item.index
            integers = next(outputs)
            # NaN has no code: each kernel makes another one of it.
            spoilt = self.ties[index] is None or any(np.isnan(np.min(array, initial=0)) for array in integers.more)
            ties = None if spoilt else sum(map(_ties, integers.more))
            executed = next(outputs)
            if not spoilt:
                self._refuse_other_kernels(index, layers, integers, executed)
            del integers
            self._pair.refuse_difference(self._items, index, layers, executed, next(outputs))
            return ties, executed.own

        found = self._engine.each(ways, self._items, compared)
        for index, (ties, own) in zip(self._items.indices, found, strict=True):
            known = self.ties[index]
            self.ties[index] = None if known is None or ties is None else known + ties
            if own:
                self.outputs[index] = own

    def _refuse_other_kernels(
        self, index: int, layers: Sequence[str], integers: LayerOutputs, executed: LayerOutputs
    ) -> None:
        for layer, one, other in zip(layers, integers.layers, executed.layers, strict=True):
            if not same_bits(one, other):
                raise VerificationError(
                    f"{self._path}: the layer '{layer}' gives other values with onnxruntime's uint8 operators than with the "
                    f"kernels of the full pass, for the item {self._items.dataset.name(index)}: "
                    f"{difference_in_words(one, other)}. Please report this."
                )


def _unrounded(deploy: IntegerModel, unrounded: Mapping[str, str]) -> dict[str, str]:
    """Return, by layer or AscendAntiQuant, what the AscendQuant before it rounds; one that several share is the first's."""
    read = {layer.name: layer.quant for layer in deploy.layers}
    read |= {name: anti_quant.quant for name, anti_quant in deploy.anti_quants.items()}
    first: dict[str, str] = {}
    for name, quant in read.items():
        first.setdefault(quant, name)
    return {name: unrounded[quant] for quant, name in first.items()}


def _ties(values: NDArray[np.float32]) -> int:
    """Return how many values lie exactly between two codes."""
    fractions = np.floor(values)
    with np.errstate(invalid="ignore"):  # of infinities
        np.subtract(values, fractions, out=fractions)
    between = values[fractions == np.float32(0.5)]
    return int(np.count_nonzero(np.abs(between) < _CODES))
