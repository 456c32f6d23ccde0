"""Noise from layer to layer: how far a quantized model's tensors are from the float one's, at every layer's output.

An item goes through the float model and, one after the other, through the model with its weights rounded, with its activations
rounded, and with both. What is kept are two sums a layer; the tensors of an item are taken a portion at a time, so memory is
bounded whatever the model's size. Beside them stands each layer's own noise, on float inputs (``layer_by_layer``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from runner.calibration.layer_by_layer import layer_by_layer, pair_sums
from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.graph.layers import LayeredModel
from runner.graph.model_file import weights_size
from runner.graph.probe import only_shapes, with_outputs
from runner.graph.smoothing import balanced, smoothed_rows
from runner.layer_noise.partly import Part, partly_quantized
from runner.layer_noise.spread import LayerSpread, Spread, input_spread, together, weight_spread
from runner.record import QuantizedLayers
from runner.session import REFERENCE, Feeds, Session
from runner.verify.portions import portions

# The version of this stage's meaning: raise it when the same form would give other figures.
VERSION = 1

# Bytes of the float model's tensors that are held at a time, for each caller; the other model's are as many.
_SIDE_BY_SIDE = 1 << 24
_FLOAT_BYTES = 4
# Values that are summed at a time: what is made of them on the way stays small beside a large tensor.
_PIECE = 1 << 18
# Of weights; models larger than this are not held all at once.
_MANY_BYTES = 1 << 26
_PROBED = replace(REFERENCE, own_memory=False)


@dataclass(frozen=True, slots=True, eq=False)
class NoiseAlong:
    """Noise at the output of every layer, as power: sum (f - q)^2 / sum f^2 over the items; NaN where it is not known.

    Attributes:
        layers: their names, in the order of the network.
        parts: what is rounded -> the noise in the model so rounded, shape (layers,).
        own: of a layer alone in int8, on float inputs, shape (layers,).
        items: how many were looked at.
        spreads: of the worst layers, the worst first.
    """

    layers: tuple[str, ...]
    parts: Mapping[Part, NDArray[np.float64]]
    own: NDArray[np.float64]
    items: int
    spreads: tuple[LayerSpread, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LookedAt:
    """A quantized model to look into.

    Attributes:
        model: the prepared float model at opset 13 or later, with all its layers.
        form: what is quantized of it.
        all_int8: the form that every layer has in int8, also one that is left float.
        parts: what to round at a time.
        worst: names of layers, the worst first, whose values are looked at; by their own noise where there are none.
        most: so many of them at most.
    """

    model: LayeredModel
    form: QuantizedLayers
    all_int8: QuantizedLayers
    parts: Sequence[Part]
    worst: Sequence[str] = field(default=())
    most: int = 4


def noise_along(looked_at: LookedAt, items: Subset, engine: Engine) -> NoiseAlong:
    """Return the noise along a network.

    Args:
        looked_at: the model.
        items: to look at, at least one.
        engine: runs models.
    """
    names = tuple(layer.name for layer in looked_at.model.layers)
    own = _own_noise(looked_at, items, engine)
    worst = looked_at.worst or sorted(own, key=lambda name: -own[name])
    worst = [name for name in worst if name in looked_at.all_int8.layers][: looked_at.most]
    way = _FloatWay.of(looked_at, worst, items, engine)
    # Models of one size side by side read every item once; large ones come one after the other.
    at_once = weights_size(looked_at.model.graph) < _MANY_BYTES
    rounds = [tuple(looked_at.parts)] if at_once else [(part,) for part in looked_at.parts]
    parts, spreads = dict[Part, NDArray[np.float64]](), list[LayerSpread]()
    for number, some in enumerate(rounds):
        of_parts, seen = _round(way, some, items, engine, looks=number == 0)
        parts |= of_parts
        spreads += seen
    return NoiseAlong(names, parts, np.array([own.get(name, np.nan) for name in names]), len(items), tuple(spreads))


def _own_noise(looked_at: LookedAt, items: Subset, engine: Engine) -> dict[str, float]:
    """Return the noise of each layer alone."""
    totals: dict[str, NDArray[np.float64]] = {}
    for sums in layer_by_layer(looked_at.model, looked_at.all_int8, items, engine=engine):
        for name, layer in sums.items():
            pair = pair_sums(layer)
            totals[name] = totals.get(name, np.zeros(2)) + np.array([pair.ff, pair.dd])
    return {name: float(_ratio(*total)) for name, total in totals.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _FloatWay:
    """The float model as it is looked into.

    Attributes:
        looked_at: what it belongs to.
        session: gives the tensors of the others.
        outputs: layer -> tensor that it gives.
        sizes: layer -> bytes of that for the first item.
        read: layer whose values are looked at -> tensor that it reads.
    """

    looked_at: LookedAt
    session: Session
    outputs: Mapping[str, str]
    sizes: Mapping[str, int]
    read: Mapping[str, str]

    @property
    def portions(self) -> Iterator[Sequence[str]]:
        """The layers, as many at a time as fit side by side."""
        return portions(self.sizes, _SIDE_BY_SIDE)

    @classmethod
    def of(cls, looked_at: LookedAt, worst: Sequence[str], items: Subset, engine: Engine) -> _FloatWay:
        """Return it, with the sizes that the first item gives."""
        model = looked_at.model
        outputs = {layer.name: model.node(layer.name).outputs[0].name or "" for layer in model.layers}
        read = {name: model.layer(name).input for name in worst}
        shapes = engine.session(only_shapes(model.graph, list(outputs.values())), _PROBED)
        index = items.indices[0]
        found = shapes.run(bind(items.dataset.item(index), shapes.inputs, name=items.dataset.name(index)))
        sizes = {name: _FLOAT_BYTES * int(np.prod(shape)) for name, shape in zip(outputs, found, strict=True)}
        session = engine.session(with_outputs(model.graph, [*outputs.values(), *read.values()]), _PROBED)
        return cls(looked_at, session, outputs, sizes, read)

    def spread(self, name: str, feeds: Feeds) -> Spread | None:
        """Return how the values are spread that a layer reads of an item."""
        (array,) = self.session.run(feeds, [self.read[name]])
        layer, record = self.looked_at.model.layer(name), self.looked_at.all_int8.layers[name].record
        seen, params = balanced(array, record.balance_factors, layer), record.activation
        return input_spread(seen, 1 if layer.spatial else -1, params.scale, params.zero_point)

    def of_weight(self, name: str) -> Spread | None:
        """Return how the values of a layer's weight are spread; None of one without."""
        model, record = self.looked_at.model, self.looked_at.all_int8.layers[name].record
        layer = model.layer(name)
        if layer.weight is None:
            return None
        rows = smoothed_rows(model.node(name), layer, record.balance_factors)
        return weight_spread(rows, np.asarray(record.weight_scales, np.float32), layer.largest_code)


def _round(
    way: _FloatWay, parts: Sequence[Part], items: Subset, engine: Engine, *, looks: bool
) -> tuple[dict[Part, NDArray[np.float64]], list[LayerSpread]]:
    """Return the noise of models with a part of the form rounded, each of shape (layers,); and, if it looks, the spreads."""
    looked_at, outputs = way.looked_at, list(way.outputs.values())
    sessions = [
        engine.session(with_outputs(partly_quantized(looked_at.model, looked_at.form, part), outputs), _PROBED)
        for part in parts
    ]
    worst = list(way.read) if looks else []

    def look(item: BoundItem) -> tuple[NDArray[np.float64], list[Spread | None]]:
        sums = [_sums(way, layers, dict(zip(parts, sessions, strict=True)), item.feeds) for layers in way.portions]
        return np.concatenate(sums, axis=1), [way.spread(name, item.feeds) for name in worst]

    totals, seen = np.zeros((1 + len(parts), len(outputs))), list[list[Spread | None]]()
    with contextlib.closing(engine.each(way.session, items, look)) as each:
        for sums, spreads in each:
            totals += sums
            seen.append(spreads)
    noise = {part: _ratio(totals[0], total) for part, total in zip(parts, totals[1:], strict=True)}
    of_items = [together([spread for spread in spreads if spread is not None]) for spreads in zip(*seen, strict=True)]
    return noise, [LayerSpread(n, spread, way.of_weight(n)) for n, spread in zip(worst, of_items, strict=True)]


def _sums(way: _FloatWay, layers: Sequence[str], sessions: Mapping[Part, Session], feeds: Feeds) -> NDArray[np.float64]:
    """Return the sums of f^2, and of (f - q)^2 for each session, of some layers; shape (1 + sessions, layers)."""
    wanted = [way.outputs[name] for name in layers]
    before = way.session.run(feeds, wanted)
    rows = [[_squares(f) for f in before]]
    for part, session in sessions.items():
        # What the Add behind a layer adds more belongs to the layer: its float output is compared before that Add.
        form = way.looked_at.form.layers if part != "activations" else {}
        after = [
            q if name not in form or form[name].shift is None else q + form[name].shift
            for name, q in zip(layers, session.run(feeds, wanted), strict=True)
        ]
        rows.append([_squares(f, q) for f, q in zip(before, after, strict=True)])
    return np.array(rows)


def _squares(f: NDArray[np.float32], q: NDArray[np.float32] | None = None) -> float:
    """Return the sum of f^2, or of (f - q)^2, a piece at a time and on one thread: the same bits always."""
    total, flat, other = 0.0, f.reshape(-1), None if q is None else q.reshape(-1)
    with np.errstate(all="ignore"):  # what is not finite is not known afterwards
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            if other is not None:
                piece = piece - other[start : start + _PIECE]
            total += float(np.sum(np.square(piece), dtype=np.float64))
    return total


def _ratio(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return noise over signal: 1 where there is noise alone, NaN where the signal is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(signal > 0, noise / signal, np.where(noise > 0, 1.0, 0.0))
    return np.where(np.isfinite(signal), ratio, np.nan)
