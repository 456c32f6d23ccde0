"""Every layer on a few items in two ways: with the kernels of the full pass, and with uint8 operators that no CPU saturates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import VerificationError
from runner.graph.probe import only_outputs, with_outputs
from runner.verify.compare import Arrays, SideBySide, difference_in_words, reference_session, same_bits
from runner.verify.deploy_file import IntegerModel
from runner.verify.execute import Executable, executable
from runner.verify.portions import Portions


def cross_check(deploy: IntegerModel, items: Subset, engine: Engine) -> int:
    """Compare every layer's output over items, bit for bit, and count ties.

    Returns:
        How many values lay exactly between two codes before they were rounded, in all items.

    Raises:
        VerificationError: a layer's output differs; names the layer.
    """
    graphs = [executable(deploy, integer_kernels=integers) for integers in (True, False)]
    ties = _ties_by_item(graphs[0], items, engine)
    # NaN has no code: each kernel makes another one of it.
    comparable = Subset(items.dataset, [index for index in items.indices if ties[index] is not None])
    portions = Portions(list(graphs[0].outputs.items()))
    for portion in portions:
        layers = dict(portion)
        names = list(dict.fromkeys(layers.values()))
        pair = SideBySide(*(reference_session(with_outputs(graph.model, names), engine) for graph in graphs))

        def compared(
            index: int,
            arrays: Arrays,
            layers: Mapping[str, str] = layers,
            names: Sequence[str] = names,
            pair: SideBySide = pair,
        ) -> None:
            portions.took(arrays[: len(names)])
            integers, floats = (dict(zip(names, half, strict=True)) for half in pair.halves(arrays))
            for layer, name in layers.items():
                if not same_bits(integers[name], floats[name]):
                    raise VerificationError(
                        f"{deploy.path}: the layer '{layer}' gives other values with onnxruntime's uint8 operators than "
                        f"with the kernels of the full pass, for the item {items.dataset.name(index)}: "
                        f"{difference_in_words(integers[name], floats[name])}. Please report this."
                    )

        for _ in engine.map(pair, comparable, compared, outputs=names):
            pass
    return sum(found or 0 for found in ties.values())


def _ties_by_item(graph: Executable, items: Subset, engine: Engine) -> dict[int, int | None]:
    """Return how many values of each item lay exactly between two codes; None where one is NaN."""
    ties: dict[int, int | None] = dict.fromkeys(items.indices, 0)
    portions = Portions(list(dict.fromkeys(graph.unrounded.values())))
    for names in portions:
        session = reference_session(only_outputs(graph.model, names), engine)

        def counted(_: int, arrays: Arrays) -> int | None:
            portions.took(arrays)
            return None if any(np.isnan(array).any() for array in arrays) else sum(map(_ties, arrays))

        for index, count in zip(items.indices, engine.map(session, items, counted), strict=True):
            known = ties[index]
            ties[index] = None if known is None or count is None else known + count
    return ties


def _ties(values: NDArray[np.float32]) -> int:
    """Return how many values lie exactly between two codes."""
    near = values[np.abs(values) < 128]
    return int(np.sum(near - np.floor(near) == np.float32(0.5)))
