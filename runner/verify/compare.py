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
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import ModelError, VerificationError
from runner.graph.model_file import load_model
from runner.graph.probe import only_outputs
from runner.session import REFERENCE, Feeds, InputSpec, Session
from runner.verify.execute import Executable
from runner.verify.portions import Portions

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sameness:
    """How far the outputs of two models are the same over items.

    Attributes:
        items: how many were run.
        identical: of them, those with the same bits in every output.
        agreeing: of them, those with the same answer.
        max_abs_diff: the largest difference between two values.
        first: the first item that is not identical, or None.
    """

    items: int
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
        self._pair = SideBySide(reference_session(deploy.model, engine), reference_session(self._graph, engine))

    @property
    def output_names(self) -> Sequence[str]:
        """Return the names of the outputs that are compared, in order."""
        return self._pair.output_names

    def check(
        self,
        items: Subset,
        agree: Callable[[Arrays, Arrays], bool],
        progress: Callable[[int], None] = lambda done: None,
    ) -> Sameness:
        """Run both over items; return what it showed, which is that every output has the same bits.

        Args:
            items: to run them on.
            agree: whether two models' outputs for an item are the same answer; asked where they are not the same bits.
            progress: told how many items are done.

        Raises:
            VerificationError: an output differs; names the item, the first layer at which the two part, and by how much.
        """

        def compared(_: int, arrays: Arrays) -> tuple[bool, bool, float]:
            deploy, fake_quant = self._pair.halves(arrays)
            if all(same_bits(a, b) for a, b in zip(deploy, fake_quant, strict=True)):
                return True, True, 0.0
            return False, agree(deploy, fake_quant), max(map(_distance, deploy, fake_quant))

        seen = []
        for found in self._engine.map(self._pair, items, compared):
            seen.append(found)
            progress(len(seen))
        differ = [index for index, (same, _, _) in zip(items.indices, seen, strict=True) if not same]
        sameness = Sameness(
            items=len(seen),
            identical=len(seen) - len(differ),
            agreeing=sum(agreed for _, agreed, _ in seen),
            max_abs_diff=max(most for _, _, most in seen),
            first=differ[0] if differ else None,
        )
        if sameness.first is not None:
            name, feeds = self._feeds(items, sameness.first)
            raise VerificationError(
                f"{self._path}: {len(differ)} of {len(seen)} items have other outputs than the deploy file executed as "
                f"integers, first {name}. {self.parting(feeds) or 'Run again, this item agrees.'} Please report this."
            )
        return sameness

    def check_layers(self, items: Subset) -> None:
        """Compare the output of every int8 layer over a few items; a difference may end before it reaches an output.

        Raises:
            VerificationError: a layer differs; names it, the item, and by how much.
        """
        named = [self._feeds(items, index) for index in items.indices]
        found = self._first_difference([feeds for _, feeds in named])
        if found is not None:
            raise VerificationError(
                f"{self._path} and the deploy file executed as integers differ for the item {named[found[0]][0]}. "
                f"{found[1]} Please report this."
            )

    def _feeds(self, items: Subset, index: int) -> tuple[str, Feeds]:
        """Return an item's name and its arrays."""
        name = items.dataset.name(index)
        return name, bind(items.dataset.item(index), self._pair.inputs, name=name)

    def parting(self, feeds: Feeds) -> str | None:
        """Return a sentence that names the first layer, in graph order, whose outputs differ; None where nothing does."""
        found = self._first_difference([feeds])
        return None if found is None else found[1]

    def _first_difference(self, items: Sequence[Feeds]) -> tuple[int, str] | None:
        """Return which of some items parts the files first, at the first layer in graph order, and the sentence for it."""
        missing = [layer for layer, name in self._counterparts.items() if name is None]
        if missing:
            return 0, f"The layer '{missing[0]}' is in the deploy file only."
        portions = Portions(list(self._deploy.outputs))
        for layers in portions:
            ours, theirs = (
                [self._deploy.outputs[layer] for layer in layers],
                [self._counterparts[layer] for layer in layers],
            )
            others = [name for name in theirs if name is not None]
            deploy, fake_quant = (
                reference_session(only_outputs(model, names), self._engine)
                for model, names in ((self._deploy.model, ours), (self._graph, others))
            )
            for place, feeds in enumerate(items):
                outputs = deploy.run(feeds)
                portions.took(outputs)
                for layer, a, b in zip(layers, outputs, fake_quant.run(feeds), strict=True):
                    if not same_bits(a, b):
                        return place, f"They part at the layer '{layer}': {difference_in_words(a, b)}."
        for place, feeds in enumerate(items):
            halves = self._pair.halves(self._pair.run(feeds))
            for name, a, b in zip(self._pair.output_names, *halves, strict=True):
                if not same_bits(a, b):
                    return place, (
                        f"Every int8 layer agrees, the output '{name}' behind them does not: {difference_in_words(a, b)}."
                    )
        return None

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


def same_bits(a: Any, b: Any) -> bool:  # noqa: ANN401 - whatever an output may be
    """Return whether two arrays have the same type, shape and bits; a NaN equals itself, 0 is not -0.

    Of lists of arrays each has to be the same, of strings each text.
    """
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    if not is_numbers(a) or not is_numbers(b):
        return type(a) is type(b) and np.array_equal(a, b)
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def is_numbers(output: Any) -> bool:  # noqa: ANN401
    """Return whether an output is an array of numbers, and no list of arrays, no strings, and there at all."""
    return isinstance(output, np.ndarray) and output.dtype.kind in "fiub"


def difference_in_words(a: Any, b: Any) -> str:  # noqa: ANN401
    """Return how two outputs differ, in words."""
    if not is_numbers(a) or not is_numbers(b):
        return "strings or tensors of a list differ"
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype} {list(a.shape)} against {b.dtype} {list(b.shape)}"
    bits = np.dtype(f"u{a.dtype.itemsize}")
    count = int(np.sum(np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)))
    return f"{count} of {a.size} values differ, by at most {_distance(a, b):.6g}"


class SideBySide:
    """Two sessions that take the same feeds and give the same outputs: those of the first, then those of the second."""

    def __init__(self, first: Session, second: Session) -> None:
        if first.output_names != second.output_names or first.inputs != second.inputs:
            raise VerificationError(
                f"the deploy file has the inputs {_shown(first)}, the fake-quant file {_shown(second)}; expected the same. "
                "Please report this."
            )
        self._first, self._second = first, second
        self.output_names = first.output_names

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """What both take."""
        return self._first.inputs

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> Arrays:
        """Return the outputs of the first session, then those of the second."""
        return self._first.run(feeds, outputs) + self._second.run(feeds, outputs)

    def stop(self) -> None:
        """Stop both."""
        self._first.stop()
        self._second.stop()

    @staticmethod
    def halves(arrays: Arrays) -> tuple[Arrays, Arrays]:
        """Return what ``run`` gave, apart again."""
        return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]


def reference_session(model: ir.Model, engine: Engine) -> Session:
    """Return a session that executes the graph as it stands.

    Raises:
        VerificationError: onnxruntime cannot load it.
    """
    try:
        return engine.session(model, REFERENCE)
    except ModelError as error:
        raise VerificationError(f"a written model cannot be run: {error} Please report this.") from error


def _shown(session: Session) -> str:
    inputs = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in session.inputs)
    return f"{inputs} and the outputs {', '.join(session.output_names)}"


def _loaded(path: Path) -> ir.Model:
    try:
        return load_model(path).graph
    except ModelError as error:
        raise VerificationError(str(error)) from error


def _distance(a: Any, b: Any) -> float:  # noqa: ANN401
    """Return the largest difference between two arrays; infinite where they cannot be held against each other."""
    if not is_numbers(a) or not is_numbers(b):
        return 0.0 if same_bits(a, b) else float("inf")
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))
