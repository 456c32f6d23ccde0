"""The quantized form that does the model's outputs least harm, on items that no correction looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runner.convert.fake_quant import fake_quant_model
from runner.correction.parallel import each_of
from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.likeness import squares
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers
from runner.session import SHORT_LIVED, Session

# Standard errors.
_BEYOND_CHANCE = 2.0


def least_harmful(
    model: LayeredModel, forms: Sequence[QuantizedLayers], items: Subset, engine: Engine
) -> QuantizedLayers:
    """Return the form whose outputs have least noise: the first one, unless another one is better beyond chance.

    Args:
        model: the float model with its layers.
        forms: of them, the one that is expected to be best first.
        items: to judge on.
        engine: runs the models.
    """
    if len(forms) == 1 or not len(items):
        return forms[0]
    real = engine.session(model.graph, SHORT_LIVED)
    sessions = [engine.session(fake_quant_model(model, form, multiply=True), SHORT_LIVED) for form in forms]
    noise = np.array(each_of(lambda index: _noise(real, sessions, items, index), items.indices, engine.callers)).T
    best = 0
    for place in range(1, len(forms)):
        gain = noise[best] - noise[place]
        # Paired: the forms answer the same items.
        if gain.mean() > _BEYOND_CHANCE * gain.std() / math.sqrt(len(gain)):
            best = place
    return forms[best]


def _noise(real: Session, sessions: Sequence[Session], items: Subset, index: int) -> NDArray[np.float64]:
    """Return the share of noise of each model's worst output for an item: sum (f - q)^2 / sum f^2, at most 1."""
    feeds = bind(items.dataset.item(index), real.inputs, name=items.dataset.name(index))
    names = real.number_names
    wanted = real.run(feeds, names)

    def worst(session: Session) -> float:
        sums = [squares(found, float_) for found, float_ in zip(session.run(feeds, names), wanted, strict=True)]
        return max((1.0 if not dd <= ff else dd / ff for ff, dd, _ in sums if dd), default=0.0)

    return np.array([worst(session) for session in sessions])
