"""Every layer on a few items in two ways: with the kernels of the full pass, and with uint8 operators that no CPU saturates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import VerificationError
from runner.graph.probe import with_outputs
from runner.verify.compare import Arrays, SideBySide, difference_in_words, reference_session, same_bits
from runner.verify.deploy_file import IntegerModel
from runner.verify.execute import executable


def cross_check(deploy: IntegerModel, items: Subset, engine: Engine) -> int:
    """Compare every layer's output over items, bit for bit, and count ties.

    Returns:
        How many values lay exactly between two codes before they were rounded, in all items.

    Raises:
        VerificationError: a layer's output differs; names the layer.
    """
    graphs = [executable(deploy, integer_kernels=integers) for integers in (True, False)]
    layers, unrounded = graphs[0].outputs, graphs[0].unrounded
    names = list(dict.fromkeys([*layers.values(), *unrounded.values()]))
    pair = SideBySide(*(reference_session(with_outputs(graph.model, names), engine) for graph in graphs))

    def compared(index: int, arrays: Arrays) -> int:
        integers, floats = (dict(zip(names, half, strict=True)) for half in pair.halves(arrays))
        if any(np.isnan(integers[name]).any() for name in unrounded.values()):
            return 0  # NaN has no code: each kernel makes another one of it
        for layer, name in layers.items():
            if not same_bits(integers[name], floats[name]):
                raise VerificationError(
                    f"{deploy.path}: the layer '{layer}' gives other values with onnxruntime's uint8 operators than with "
                    f"the kernels of the full pass, for the item {items.dataset.name(index)}: "
                    f"{difference_in_words(integers[name], floats[name])}. Please report this."
                )
        return sum(_ties(integers[name]) for name in unrounded.values())

    return sum(engine.map(pair, items, compared, outputs=names))


def _ties(values: NDArray[np.float32]) -> int:
    """Return how many values lie exactly between two codes."""
    near = values[np.abs(values) < 128]
    return int(np.sum(near - np.floor(near) == np.float32(0.5)))
