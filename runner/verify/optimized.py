"""Both files as onnxruntime optimises them: quicker by half, where that changes no bit.

Of an all-int8 convolutional model it changes none: the layers' sums are whole numbers in any order, and what stands between
them rounds each value by itself. Of other models float operators are fused and laid out anew, differently in each graph. So it
is tried: on items whose outputs are known with optimisations off, both files have to give just these. Then, and only then,
an item on which both give the same bits as each other is one on which the files are the same. Any other item is run with
optimisations off, and that alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.session import Feeds, plain
from runner.verify.bits import same_bits
from runner.verify.execute import Executable

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """What the fake-quant file gives for an item with optimisations off.

    Attributes:
        outputs: in order.
        usual: whether a default session of it is known to give the same bits.
    """

    outputs: Arrays
    usual: bool


class Optimized:
    """Sessions of both files in which onnxruntime optimises: of the deploy file all but what would touch its sums, of the
    fake-quant file what it does by default.

    Args:
        deploy: the deploy file as a graph that can be run.
        path: of the fake-quant file.
        engine: makes the sessions.
    """  # noqa: D205

    def __init__(self, deploy: Executable, path: Path, engine: Engine) -> None:
        self._deploy = engine.session(deploy.model)
        self.usual = engine.session(path, plain("all"))

    def keeps(self, known: Mapping[int, Mapping[str, NDArray[Any]]], items: Subset) -> bool:
        """Return whether both give the outputs that are known of items; nothing known is no reason to think so."""
        names = self._deploy.output_names
        for index, outputs in known.items():
            feeds = bind(items.dataset.item(index), self._deploy.inputs, name=items.dataset.name(index))
            expected = [outputs[name] for name in names]
            if not all(_same(session.run(feeds, names), expected) for session in (self._deploy, self.usual)):
                return False
        return bool(known)

    def outputs(self, item: BoundItem) -> Arrays | None:
        """Return what both files give for an item; None where it is not the same."""
        return self._both(item.feeds)

    def _both(self, feeds: Feeds) -> Arrays | None:
        outputs = self._deploy.run(feeds)
        return outputs if _same(outputs, self.usual.run(feeds, self._deploy.output_names)) else None


def _same(ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> bool:
    return all(same_bits(a, b) for a, b in zip(ours, theirs, strict=True))
