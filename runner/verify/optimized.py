"""Both files as onnxruntime optimises them: quicker by half, where that changes no bit.

Of an all-int8 convolutional model it changes none: the layers' sums are whole numbers in any order, and what stands between
them rounds each value by itself. Of other models float operators are fused and laid out anew, differently in each graph. So it
is tried: on items whose outputs are known with optimisations off, both files have to give just these. Then, and only then,
an item on which both give the same bits as each other is one on which the files are the same. Any other item is run with
optimisations off, and that alone decides.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from runner.dataset.binding import first_rows
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.output_digest import OutputDigest, output_digest
from runner.session import Feeds, plain
from runner.verify.bits import same_bits
from runner.verify.execute import Executable

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """What the fake-quant file gives for an item with optimisations off.

    Attributes:
        outputs: in order.
        both: whether both files were run.
        usual: whether a default session of it was seen to give the same bits.
    """

    outputs: Arrays
    both: bool
    usual: bool


class Optimized:
    """Sessions of both files, of which onnxruntime optimises all but what would touch the sums of the deploy file.

    Args:
        deploy: the deploy file as a graph that can be run.
        path: of the fake-quant file, which is run as by default.
        engine: makes the sessions.
        measured: item -> digest of what was measured for it, of all outputs; may know nothing.
        both: items on which both files are run whatever is known.
    """

    def __init__(
        self,
        deploy: Executable,
        path: Path,
        engine: Engine,
        *,
        measured: Mapping[int, OutputDigest] = MappingProxyType({}),
        both: Container[int] = (),
    ) -> None:
        self._engine = engine
        self._deploy = engine.session(deploy.model)
        self.inputs, self.output_names = self._deploy.inputs, self._deploy.output_names
        self.usual = engine.session(path, plain("all"))
        # Of an output that is no tensor of numbers nothing is measured.
        self._measured = measured if self._deploy.number_names == self.output_names else {}
        self._both = both

    def keeps(self, known: Mapping[int, Mapping[str, NDArray[Any]]], items: Subset) -> bool:
        """Return whether both give the outputs that are known of all items; nothing known is no reason to think so."""
        if not set(items.indices) <= known.keys():
            return False

        def kept(item: BoundItem) -> bool:
            expected = [known[item.index][name] for name in self.output_names]
            return all(
                _same(session.run(item.feeds, self.output_names), expected) for session in (self._deploy, self.usual)
            )

        return all(self._engine.each(self._deploy, items, kept))

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> Arrays:
        """Return the deploy file's outputs."""
        return self._deploy.run(feeds, outputs)

    def stop(self) -> None:
        """Stop both."""
        self._deploy.stop()
        self.usual.stop()

    def exact(self, item: BoundItem) -> Exact | None:
        """Return what is shown to be both files' outputs for an item; None where nothing is shown."""
        outputs = self._deploy.run(item.feeds)
        if item.index not in self._both and item.index in self._measured:
            digest = output_digest(first_rows(outputs, item.repeats))
            if digest == self._measured[item.index]:
                return Exact(outputs, both=False, usual=False)
        same = _same(outputs, self.usual.run(item.feeds, self.output_names))
        return Exact(outputs, both=True, usual=True) if same else None


def _same(ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> bool:
    return all(same_bits(a, b) for a, b in zip(ours, theirs, strict=True))
