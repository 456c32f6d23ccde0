"""The deploy file, executed as integers, against the fake-quant file: the same bits on every output of every item.

Why they must be equal. Both graphs hold the same nodes in the same order, except where the deploy file has int8 layers; by
induction over that order every tensor that both have is equal, bit for bit:

* The inputs are the same arrays.
* A float operator is the same node with equal inputs, run by the same kernel: both sessions rewrite nothing (level ``none``),
  so neither fuses or lays out what the other does not, and they use one thread, so sums have one order. The Mul before a
  balanced layer is such an operator, with the same constant in both.
* A code is ``round_half_even(fl32(fl32(x * r) + offset))``, clipped. Both files multiply and add in float32, one rounding each,
  in this order; what rounds then is exact in both, and clipping to whole numbers before or after rounding is the same.
* A layer's sum is a whole number: ``sum((q - offset) * q_w) + q_b`` in one file, ``sum(q * q_w) - offset * sum(q_w) + q_b``
  over an image padded with the offset in the other, where a padded place gives ``offset * q_w`` to the first sum and the
  correction takes it away. These are equal as integers, and both are computed exactly: in floats only where every partial sum
  stays below 2**24, otherwise in parts or in int32.
* The dequantized value is ``fl32(fl32(acc) * deq)`` in both, and an integer zero has no sign to lose. An average is
  ``fl32(acc) / fl32(count)`` before that, in both.

So a difference is a fault of one of the files or of their readers, never of rounding, and it is reported as one.

That an item is the same may be shown sooner, see ``optimized``; that it is not, only so.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.errors import ModelError, VerificationError
from runner.graph.model_file import load_model
from runner.output_digest import OutputDigest
from runner.session import Feeds, InputSpec, input_specs
from runner.verify.bits import difference_in_words, distance, same_bits
from runner.verify.execute import Executable
from runner.verify.layer_outputs import Arrays, LayerOutputs, Way, Ways, layer_bytes
from runner.verify.optimized import Exact, Optimized
from runner.verify.portions import portions
from runner.verify.reference import reference_session
from runner.verify.side_by_side import EitherWay, SideBySide


@dataclass(frozen=True, slots=True)
class Sameness:
    """How far the outputs of two models are the same over items.

    Attributes:
        items: how many were run.
        both: of them, those on which both were; on the others one gave what was measured of the other.
        identical: of them, those with the same bits in every output.
        agreeing: of them, those with the same answer.
        max_abs_diff: the largest difference between two values.
        first: the first item that is not identical, or None.
    """

    items: int
    both: int
    identical: int
    agreeing: int
    max_abs_diff: float
    first: int | None


class FilePair:
    """The two files of a pair, ready to be run side by side.

    Args:
        deploy: the deploy file as a graph that can be run.
        path: of the fake-quant file.
        engine: runs them.

    Raises:
        VerificationError: one of them cannot be run, or their inputs or outputs differ.
    """

    def __init__(self, deploy: Executable, path: Path, engine: Engine) -> None:
        self._deploy, self._engine = deploy, engine
        self._path = path
        self._graph = _loaded(path)
        self._making = threading.Lock()
        self._made: SideBySide | None = None
        _refuse_other_ends(deploy.model, self._graph)

    @property
    def _pair(self) -> SideBySide:
        """Sessions of both with optimisations off, made when they are first needed; callers may come at once."""
        with self._making:
            if self._made is None:
                self._made = SideBySide(
                    reference_session(self._deploy.model, self._engine), reference_session(self._path, self._engine)
                )
            return self._made

    @property
    def ways(self) -> tuple[Way, Way]:
        """The deploy file and the fake-quant file as ways to the deploy file's layers."""
        theirs = {layer: name for layer, name in self._counterparts.items() if name is not None}
        return Way(self._deploy.model, self._deploy.outputs, {}), Way(self._graph, theirs, {})

    def optimized(self, measured: Mapping[int, OutputDigest], both: Container[int]) -> Optimized:
        """Return both files as onnxruntime optimises them, see ``Optimized``."""
        return Optimized(self._deploy, self._path, self._engine, measured=measured, both=both)

    def check(
        self,
        items: Subset,
        agree: Callable[[Arrays, Arrays], bool],
        progress: Callable[[int], None] = lambda done: None,
        *,
        optimized: Optimized | None = None,
        look: Callable[[BoundItem, Exact], None] = lambda item, exact: None,
    ) -> Sameness:
        """Run both over items; return what it showed, which is that every output has the same bits.

        Args:
            items: to run them on.
            agree: whether two models' outputs for an item are the same answer; asked where they are not the same bits.
            progress: told how many items are done.
            optimized: may show it sooner; what it does not show, the files themselves do.
            look: given each item and what the fake-quant file gives for it; runs in the callers.

        Raises:
            VerificationError: an output differs; names the item, the first layer at which the two part, and by how much.
        """

        def compared(item: BoundItem) -> tuple[bool, bool, bool, float]:
            shown = None if optimized is None else optimized.exact(item)
            if shown is not None:
                look(item, shown)
                return shown.both, True, True, 0.0
            deploy, fake_quant = self._pair.halves(self._pair.run(item.feeds))
            look(item, Exact(fake_quant, both=True, usual=False))
            if all(same_bits(a, b) for a, b in zip(deploy, fake_quant, strict=True)):
                return True, True, True, 0.0
            return True, False, agree(deploy, fake_quant), max(map(distance, deploy, fake_quant))

        seen = []
        running = self._pair if optimized is None else EitherWay(optimized, lambda: self._made)
        for found in self._engine.each(running, items, compared):
            seen.append(found)
            progress(len(seen))
        differ = [index for index, (_, same, _, _) in zip(items.indices, seen, strict=True) if not same]
        sameness = Sameness(
            items=len(seen),
            both=sum(both for both, _, _, _ in seen),
            identical=len(seen) - len(differ),
            agreeing=sum(agreed for _, _, agreed, _ in seen),
            max_abs_diff=max(most for _, _, _, most in seen),
            first=differ[0] if differ else None,
        )
        if sameness.first is not None:
            raise VerificationError(
                f"{self._path}: {len(differ)} of {len(seen)} items have other outputs than the deploy file executed as "
                f"integers, first {items.dataset.name(sameness.first)}. "
                f"{self.parting(self.feeds(items, sameness.first)) or 'Run again, this item agrees.'} Please report this."
            )
        return sameness

    def feeds(self, items: Subset, index: int) -> Feeds:
        """Return an item as both files take it."""
        return bind(items.dataset.item(index), input_specs(self._graph), name=items.dataset.name(index))

    def refuse_missing(self, items: Subset) -> None:
        """Refuse a layer that is in the deploy file only; ``items`` are those that would be compared.

        Raises:
            VerificationError: there is one; names it.
        """
        missing = self._missing
        if missing is not None:
            raise self._differing(items, items.indices[0], missing)

    def refuse_difference(
        self, items: Subset, index: int, layers: Sequence[str], deploy: LayerOutputs, fake_quant: LayerOutputs
    ) -> None:
        """Refuse outputs of layers, or of the models behind them, that are not the same.

        Raises:
            VerificationError: one differs; names the item, the layer, and by how much.
        """
        told = _parting(layers, deploy, fake_quant)
        if told is not None:
            raise self._differing(items, index, told)

    def parting(self, feeds: Feeds) -> str | None:
        """Return a sentence that names the first layer, in graph order, whose outputs differ; None where nothing does."""
        if self._missing is not None:
            return self._missing
        layers = list(self._deploy.outputs)
        for portion in portions(layer_bytes(self.ways[0], feeds, self._engine)):
            ways = Ways(self.ways, portion, self._engine, last=portion[-1] == layers[-1])
            deploy, fake_quant = ways.each(feeds)
            told = _parting(portion, deploy, fake_quant)
            if told is not None:
                return told
        return None

    def _differing(self, items: Subset, index: int, told: str) -> VerificationError:
        return VerificationError(
            f"{self._path} and the deploy file executed as integers differ for the item {items.dataset.name(index)}. "
            f"{told} Please report this."
        )

    @property
    def _missing(self) -> str | None:
        """A sentence that names a layer which is in the deploy file only; None where there is none."""
        missing = [layer for layer, name in self._counterparts.items() if name is None]
        return f"The layer '{missing[0]}' is in the deploy file only." if missing else None

    @cached_property
    def _counterparts(self) -> dict[str, str | None]:
        """Layer or AscendAntiQuant -> name of its float output in the fake-quant file, None where it has none."""
        nodes = {node.name: node for node in self._graph.graph}
        makers = {value.name: node.name or "" for node in self._graph.graph for value in node.outputs}
        counterparts: dict[str, str | None] = {}
        for name in self._deploy.outputs:
            if name in self._deploy.layers:
                value = self._deploy.layers[name]
                # A node of the source may have the name that would be the last one's.
                ours = re.fullmatch(rf"{re.escape(name)}(\.dequant(_\d+)?)?", makers.get(value, "")) is not None
                counterparts[name] = value if ours else None
                continue
            reader, index = self._deploy.readers.get(name, ("", 0))
            node = nodes.get(reader)
            source = node.inputs[index] if node is not None and index < len(node.inputs) else None
            counterparts[name] = None if source is None else source.name
        return counterparts


def _parting(layers: Sequence[str], deploy: LayerOutputs, fake_quant: LayerOutputs) -> str | None:
    """Return a sentence that names the first layer, or output, that is not the same in both; None where all are."""
    for layer, a, b in zip(layers, deploy.layers, fake_quant.layers, strict=True):
        if not same_bits(a, b):
            return f"They part at the layer '{layer}': {difference_in_words(a, b)}."
    for name, a in deploy.own.items():
        if not same_bits(a, fake_quant.own[name]):
            told = difference_in_words(a, fake_quant.own[name])
            return f"Every int8 layer agrees, the output '{name}' behind them does not: {told}."
    return None


def _refuse_other_ends(deploy: ir.Model, fake_quant: ir.Model) -> None:
    if _ends(deploy) != _ends(fake_quant):
        raise VerificationError(
            f"the deploy file has {_shown(deploy)}, the fake-quant file {_shown(fake_quant)}; expected the same. "
            "Please report this."
        )


def _ends(model: ir.Model) -> tuple[tuple[InputSpec, ...], list[str | None]]:
    return input_specs(model), [value.name for value in model.graph.outputs]


def _shown(model: ir.Model) -> str:
    specs, names = _ends(model)
    inputs = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in specs)
    return f"the inputs {inputs} and the outputs {', '.join(name or '' for name in names)}"


def _loaded(path: Path) -> ir.Model:
    try:
        return load_model(path).graph
    except ModelError as error:
        raise VerificationError(str(error)) from error
