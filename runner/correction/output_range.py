"""``range=output``: of the observer's range and those inside what was seen, the one that costs the layers' outputs least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runner.calibration.quantize import quantize_recorded
from runner.calibration.ties import params_off_ties
from runner.convert.fake_quant import tensor_place
from runner.correction.activation_range import Cost, best_range, output_roots
from runner.correction.calibrated import Calibrated
from runner.correction.layer_state import LayerState
from runner.correction.positions import some_positions, unit_of_squares
from runner.graph.layers import Layer
from runner.graph.smoothing import rounded_tensor
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer

# Positions, over all items, that a range is judged by. Chance errs by one over their root.
_POSITIONS = 4_000


class OutputRange:
    """Chooses a range at the first of the layers that read one tensor; what becomes of it there holds for all of them.

    Args:
        start: has the layers.
        finished: forms of layers that are done.
    """

    def __init__(self, start: Calibrated, finished: Mapping[str, QuantizedLayer]) -> None:
        self._readers = {readers[0].name: readers for readers in _readers(start)}
        self._settled: dict[str, ActivationParams] = {}
        for name in self._readers:
            if name in finished:
                self.settle(name, finished[name])

    def __call__(self, state: LayerState) -> QuantizedLayer:
        """Return the first reader of a tensor under the range that costs all of them least; another layer as it is."""
        readers = self._readers.get(state.layer.name)
        return state.quantized if readers is None else _under(_better_range(state, readers), state)

    def shared(self, state: LayerState) -> QuantizedLayer:
        """Return the layer under the range of its tensor, if that is settled, or as it is where its bias does not fit that."""
        settled = self._settled.get(state.layer.name)
        return state.quantized if settled is None else _under(settled, state)

    def settle(self, name: str, quantized: QuantizedLayer) -> None:
        """Take the range of a first reader for all that read the tensor.

        Args:
            name: of the layer; nothing happens if it is no first reader.
            quantized: its form.
        """
        for reader in self._readers.get(name, ())[1:]:
            self._settled[reader.name] = quantized.record.activation


def _under(params: ActivationParams, state: LayerState) -> QuantizedLayer:
    if params == state.quantized.record.activation:
        return state.quantized
    try:
        return quantize_recorded(state.node, state.layer, replace(state.quantized.record, activation=params))
    except ValueError:
        return state.quantized


def _better_range(state: LayerState, readers: Sequence[Layer]) -> ActivationParams:
    """Return the parameters that cost the outputs of all readers least, inside what was seen or the observer's."""
    name, start, callers = state.layer.name, state.start, state.engine.callers
    values, _ = some_positions(
        lambda place: state.input(state.items[place]), state.layer, len(state.items), _POSITIONS, callers
    )
    if not len(values):
        return state.quantized.record.activation
    symmetric = start.is_symmetric(state.layer)
    alike: dict[tuple[int, bool], list[NDArray[np.float64]]] = {}
    for reader in readers:
        alike.setdefault((reader.group, state.fits_bias(reader)), []).append(state.weight(reader))
    unit = unit_of_squares(
        np.concatenate([np.abs(weight).max(keepdims=True) for weights in alike.values() for weight in weights])
    )
    return best_range(
        start.seen.extremes[name],
        start.seen.ranges[name],
        values,
        [
            Cost(output_roots([w / unit for w in weights], groups, values.shape[1] // groups), centred)
            for (groups, centred), weights in alike.items()
        ],
        lambda range_: params_off_ties(range_, start.seen.samples[name], symmetric=symmetric),
        callers=callers,
    )


def _readers(start: Calibrated) -> list[list[Layer]]:
    """Return the layers whose range may be chosen; those that read one tensor stand together, as they share its rounding."""
    rounded = _rounded_tensors(start)
    readers: dict[tuple[str, bool], list[Layer]] = {}
    for layer in start.model.layers:
        if layer.name not in start.form.layers or layer.weight is None:
            continue
        record = start.form.layers[layer.name].record
        source = rounded_tensor(layer, record.balance_factors)
        # Another node that reads the same codes would take another range with the layer, at a cost that is not seen from here.
        if (source, record.activation) not in rounded:
            readers.setdefault((source, start.is_symmetric(layer)), []).append(layer)
    return list(readers.values())


def _rounded_tensors(start: Calibrated) -> set[tuple[str, ActivationParams]]:
    """Return the tensors that are rounded on their way into nodes that are no layers, with their parameters."""
    nodes = {node.name: node for node in start.model.graph.graph}
    rounded = set()
    for key, tensor in start.form.tensors.items():
        node, index = tensor_place(nodes, key)
        source = node.inputs[index]
        assert source is not None  # the place was read off the graph
        rounded.add((source.name or "", tensor.activation))
    return rounded
