"""What the weights of a layer multiply: one row a weight, one column a position of the output.

For Gemm and MatMul these are the rows of the input. For a convolution another one, whose kernels hold a single 1 each, tells
which places of the input each position reads: it is run on their numbers. Strides, padding, dilations and ``auto_pad`` are
the layer's own, so nothing about them is said twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.correction.positions import by_channel
from runner.engine import Engine
from runner.graph.constants import constant
from runner.graph.layers import Layer

_X, _PATCHES = "x", "patches"
_DIGIT = 1 << 12
# Groups of a layer, and inputs of each of them.
Part = tuple[slice, slice]
WHOLE: Part = (slice(None), slice(None))
# Places of a channel that are read, -1 for padding; and for each weight and position, which of them.
_Read = tuple[NDArray[np.intp], NDArray[np.intp]]


def has_patches(layer: Layer) -> bool:
    """Return whether the rows can be made; of a transposed convolution they cannot in this way.

    Nor of a MatMul with a batch of matrices, each of which multiplies rows of its own.
    """
    return layer.operator.has_patches and not layer.layout.is_batch


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the weights of a layer multiply at some positions; laid out for some groups at a time.

    Attributes:
        values: what is read, shape (groups, inputs of a group, values).
        places: which of the values, shape (rows of an input, positions); None where a value is a position.
    """

    values: NDArray[np.float32]
    places: NDArray[np.intp] | None

    @property
    def positions(self) -> int:
        """How many positions there are."""
        return int((self.values if self.places is None else self.places).shape[-1])

    @property
    def weights(self) -> int:
        """How many weights one output channel has."""
        return int(self.values.shape[1]) * (1 if self.places is None else len(self.places))

    def of(self, groups: slice) -> NDArray[np.float32]:
        """Return the rows of some groups, shape (groups, weights of one output channel, positions)."""
        values = self.values[groups]
        if self.places is None:
            return values
        return np.take(values, self.places, axis=2).reshape(len(values), -1, self.positions)

    @classmethod
    def joined(cls, items: Sequence[Rows]) -> Rows:
        """Return the rows at the positions of all items, one after the other."""
        values = np.concatenate([rows.values for rows in items], axis=2)
        firsts = np.cumsum([0, *(rows.values.shape[2] for rows in items)]).tolist()
        places = [first + rows.places for first, rows in zip(firsts, items, strict=False) if rows.places is not None]
        return cls(values, np.concatenate(places, axis=1) if places else None)


class Patches:
    """Cuts the rows of one layer out of its input.

    Args:
        model: holds the layer; for its opset.
        node: the layer's.
        layer: what it is.
        engine: makes the session.
    """

    def __init__(self, model: ir.Model, node: ir.Node, layer: Layer, engine: Engine) -> None:
        rows = layer.layout.rows(np.asarray(constant(node.inputs[1])))
        self._layer = layer
        self.weights = int(np.prod(rows.shape[1:]))
        cut = layer.spatial and not _is_pointwise(node, rows.shape[2:])
        self._session = engine.session(_cutter(model, node, layer, rows.shape[2:])) if cut else None
        self._read: dict[tuple[Any, ...], _Read] = {}

    def __call__(
        self,
        x: NDArray[np.float32],
        where: slice,
        then: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        part: Part = WHOLE,
    ) -> Rows:
        """Return the rows at some positions of one item.

        Args:
            x: the item's input.
            where: which positions.
            then: what is done to each value that is read; 0 stays 0.
            part: which groups, and which inputs of each.
        """
        group = self._layer.group
        if self._session is None:
            read = by_channel(x, self._layer).reshape(-1, group, self.weights)[where]
            return Rows(then(read[(slice(None), *part)].transpose(1, 2, 0)), None)
        key = (x.shape, where.start, where.step)
        if key not in self._read:
            self._read[key] = self._reads(x.shape, where)
        used, places = self._read[key]
        channels = by_channel(x, self._layer).T
        values = then(channels.reshape(group, -1, channels.shape[1])[part][:, :, used])
        values[:, :, used < 0] = 0
        return Rows(values, places)

    def _reads(self, shape: tuple[int, ...], where: slice) -> _Read:
        """Return which places of a channel some positions read, of an input of that shape."""
        assert self._session is not None  # otherwise a position reads itself
        places = np.arange(1, shape[0] * int(np.prod(shape[2:])) + 1).reshape(shape[0], 1, *shape[2:])
        # Numbers that a float32 holds, of whatever size the image is; padding is 0.
        high, low = (
            by_channel(self._session.run({_X: digits.astype(np.float32)})[0], self._layer)[where].T.astype(np.intp)
            for digits in np.divmod(places, _DIGIT)
        )
        used, inverse = np.unique(high * _DIGIT + low - 1, return_inverse=True)
        return used, inverse.reshape(high.shape)


def _is_pointwise(node: ir.Node, kernel: tuple[int, ...]) -> bool:
    """Return whether each position of the output reads that position of the input and no other."""
    strides, pads = (node.attributes.get_ints(name, ()) for name in ("strides", "pads"))
    return all(size == 1 for size in (*kernel, *strides)) and not any(pads)


def _cutter(model: ir.Model, node: ir.Node, layer: Layer, kernel: tuple[int, ...]) -> ir.Model:
    """Return a model of one convolution [N, 1, ...] -> [N, places of the kernel, ...]."""
    places = int(np.prod(kernel))
    single = np.eye(places, dtype=np.float32).reshape(places, 1, *kernel)
    attributes = [attribute for name, attribute in node.attributes.items() if name != "group"]
    float_type = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name=_X, type=float_type, shape=ir.Shape([None] * (2 + layer.spatial)))
    weight = ir.Value(name="single", type=float_type, shape=ir.Shape(single.shape), const_value=ir.tensor(single))
    output = ir.Value(name=_PATCHES, type=float_type)
    conv = ir.Node("", "Conv", [x, weight], attributes=attributes, outputs=[output], name="cut")
    graph = ir.Graph(
        [x], [output], nodes=[conv], initializers=[weight], opset_imports=dict(model.opset_imports), name="cutter"
    )
    return ir.Model(graph, ir_version=model.ir_version)
