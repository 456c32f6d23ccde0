"""Correct the all-int8 form, once: layer by layer, each on what the corrected layers before it give, or all in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from runner.arithmetic import dequant_scale, quantize_bias, rounded
from runner.calibration.collect import Calibration
from runner.calibration.quantize import check_sums, int32_bias, quantize_recorded
from runner.calibration.ties import params_off_ties
from runner.convert.fake_quant import tensor_place
from runner.correction.activation_range import Cost, best_range, output_roots
from runner.correction.affine import Clipping, Fit, fit_outputs
from runner.correction.mean_error import without_mean_errors
from runner.correction.moments import Products, gather, products
from runner.correction.options import Correction
from runner.correction.parallel import each_of
from runner.correction.patches import Patches, Rows, by_channel, has_patches
from runner.correction.rounding import least_error
from runner.correction.walk import Walk
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.graph.added_bias import biased, float_bias, takes_bias
from runner.graph.balance import balanced, balanced_rows, rounded_tensor
from runner.graph.constants import constant
from runner.graph.layers import Layer, LayeredModel
from runner.ranges import ActivationParams
from runner.record import QuantizedLayer, QuantizedLayers

# The version of this stage's meaning: raise it when the same form and data would give other integers.
VERSION = 9

# Positions, over all items, that a fit, the moments and a range look at. Chance errs by one over their root.
_FIT_POSITIONS = 10_000
_MOMENT_POSITIONS = 60_000
_RANGE_POSITIONS = 15_000
# Items, evenly spaced, that mean errors alone are taken over: a pass over float layers and their quantized twins costs three
# evaluations an item, and what chance adds to the means of fewer items is allowed for.
_PASS_ITEMS = 50
# Items that the moments of a large image are taken over, at least.
_LEAST_ITEMS = 16
# Parts that moments are summed in, side by side: each holds sums as large as H.
_MOMENT_PARTS = 4
# Values between these have squares, and sums of many of them, that float32 holds with all their digits.
_SMALL, _LARGE = 1e-12, 1e12
# Channels that are fitted at once: few enough for their positions to stay in the processor's cache.
_FIT_CHANNELS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What corrections start from.

    Attributes:
        model: the prepared float model at a runnable opset.
        form: their quantized form, rounded to nearest.
        seen: what calibration saw of the layers' inputs.
        symmetric: names of the layers whose input has zero point 0 because the user or the format wants it so.
    """

    model: LayeredModel
    form: QuantizedLayers
    seen: Calibration
    symmetric: Collection[str] = ()


def correct(
    start: Calibrated,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    options: Correction,
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> QuantizedLayers:
    """Return the form with better ranges, integers and biases.

    A layer whose corrected integers would be illegal keeps those that it had.

    Args:
        start: the form to correct, and where it comes from.
        dataset: calibration data.
        indices: which items of it.
        options: which corrections.
        engine: how many threads work.
        progress: told the number of layers done; where all are corrected together, their share of the items done.
    """
    # The callers share the cores out already; and how many threads a product has must not decide its last bit.
    with threadpool_limits(1, user_api="blas"):
        return _corrected(start, dataset, indices, options, engine, progress)


def _corrected(
    start: Calibrated,
    dataset: Dataset,
    indices: Sequence[int],
    options: Correction,
    engine: Engine,
    progress: Callable[[int], None],
) -> QuantizedLayers:
    form = start.form
    if options.of_layers == Correction(bias="isolated"):
        step = -(-len(indices) // _PASS_ITEMS)
        items = indices[::step]
        return without_mean_errors(
            start.model,
            form,
            dataset,
            items,
            engine=engine,
            progress=lambda done: progress(len(form.layers) * done // len(items)),
        )
    walk = Walk(
        start.model,
        form,
        dataset,
        indices,
        input_shapes=start.seen.input_shapes,
        engine=engine,
        quantized_upstream=options.bias == "sequential",
    )
    readers = _readers(start) if options.range == "output" else []
    corrected: dict[str, QuantizedLayer] = {}
    chosen: dict[str, ActivationParams] = {}
    for layer in walk.layers():
        stop = _Stop(start, walk, layer, options, engine.callers)
        for sharing in readers:
            if sharing[0] is layer:
                chosen |= dict.fromkeys([other.name for other in sharing], stop.better_range(sharing))
        if layer.name in chosen:
            stop.take(chosen[layer.name])
        if options.rounding == "compensated" and has_patches(layer):
            stop.round_weights()
        corrected[layer.name] = stop.leave(sequential=options.bias == "sequential")
        progress(len(corrected))
    return QuantizedLayers(corrected, form.tensors)


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
            readers.setdefault((source, _is_symmetric(start, layer)), []).append(layer)
    return list(readers.values())


def _is_symmetric(start: Calibrated, layer: Layer) -> bool:
    return layer.symmetric or layer.name in start.symmetric


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


class _Stop:
    """One layer, while the walk stands before it."""

    def __init__(self, start: Calibrated, walk: Walk, layer: Layer, options: Correction, callers: int) -> None:
        self._start, self._walk, self._layer, self._options = start, walk, layer, options
        self._callers = callers
        self._node = walk.node(layer)
        self.quantized = start.form.layers[layer.name]
        session = walk.float_session()
        self._real = walk.each(lambda item: session.run({layer.input: walk.float_input(layer, item)})[0])
        self._has_bias = self._fits_bias(layer)
        # A detector that quantization lets keep other rows than the float model gives a layer other positions to compare.
        self._comparable = [
            item for item in range(walk.items) if walk.input(layer, item).shape == walk.float_input(layer, item).shape
        ]

    def better_range(self, readers: Sequence[Layer]) -> ActivationParams:
        """Return the parameters that cost the outputs of all readers least, inside what was seen or the observer's."""
        layer, walk, seen = self._layer, self._walk, self._start.seen
        values, _ = _some(self._input, layer, walk.items, _RANGE_POSITIONS, self._callers)
        if not len(values):
            return self.quantized.record.activation
        symmetric = _is_symmetric(self._start, layer)
        alike: dict[tuple[int, bool], list[NDArray[np.float64]]] = {}
        for reader in readers:
            alike.setdefault((reader.group, self._fits_bias(reader)), []).append(self._weight(reader))
        unit = _unit(np.concatenate([np.abs(weight).max(keepdims=True) for each in alike.values() for weight in each]))
        return best_range(
            seen.extremes[layer.name],
            seen.ranges[layer.name],
            values,
            [
                Cost(output_roots([w / unit for w in weights], groups, values.shape[1] // groups), centred)
                for (groups, centred), weights in alike.items()
            ],
            lambda range_: params_off_ties(range_, seen.samples[layer.name], symmetric=symmetric),
            callers=self._callers,
        )

    def take(self, params: ActivationParams) -> None:
        """Use other parameters for the input, where the layer's bias still fits them."""
        record = replace(self.quantized.record, activation=params)
        try:
            self.quantized = quantize_recorded(self._node, self._layer, record)
        except ValueError:
            return

    def round_weights(self) -> None:
        """Choose the integers that hurt the output least."""
        layer, params = self._layer, self.quantized.record.activation
        weight = self._weight(layer)
        cut = Patches(self._start.model.graph, self._node, layer)
        sizes = {item: len(by_channel(self._real[item], layer)) for item in self._comparable}
        if not any(sizes.values()):
            return
        positions = max(1, sum(sizes.values()) // len(sizes))
        items = min(len(sizes), max(_LEAST_ITEMS, -(-_MOMENT_POSITIONS // positions)))
        step = max(1, items * positions // _MOMENT_POSITIONS)
        bias = self._float_bias()
        unit = _unit(weight)  # of weights and outputs: both may be too large for squares in float32

        def sample(item: int) -> tuple[Rows, NDArray[np.float32]]:
            # The first position moves from item to item, so that no column of the image is left out.
            where = slice(item % step, None, step)
            rows = cut(self._input(item), where, lambda x: rounded(x, params.scale, params.zero_point))
            real = by_channel(self._real[item], layer).T[:, where] - bias[:, np.newaxis]
            return rows, real if unit == 1 else real / unit

        def summed(part: list[int]) -> Products:
            rows, real = zip(*(sample(item) for item in part), strict=True)
            return products(Rows.joined(rows), np.concatenate(real, axis=1))

        # Of those that have a position at all.
        some = [item for item, size in sizes.items() if size > item % step][:items]
        parts = [some[first::_MOMENT_PARTS] for first in range(min(len(some), _MOMENT_PARTS))]
        sums = each_of(summed, parts, self._callers)
        if not all(np.isfinite(each.outputs).all() for each in sums):
            return  # the float outputs leave float32
        weight = weight / unit
        moments = gather(sums, weight, centred=self._has_bias, callers=self._callers)
        scales = np.broadcast_to(np.asarray(self.quantized.record.weight_scales, np.float64), (layer.channels,))
        target = moments.target(weight)
        target /= scales.reshape(*target.shape[:2], 1) / unit
        codes = least_error(target, moments.inputs, moments.inverse, callers=self._callers)
        stored = constant(self._node.inputs[1])
        assert stored is not None  # a layer's weight
        shape = layer.layout.rows(stored).shape
        integers = layer.layout.stored(codes.reshape(shape).astype(np.int8), stored.shape)
        self._accept(replace(self.quantized, weight=integers))

    def leave(self, *, sequential: bool) -> QuantizedLayer:
        """Fit bias and scales, go behind the layer and return it."""
        layer, walk = self._layer, self._walk
        outputs = None
        if self._has_bias or sequential:
            outputs = self._outputs()
        before = self.quantized
        if self._has_bias and outputs is not None and self._fit(outputs) and sequential:
            outputs = outputs_again(outputs, layer, before, self.quantized, self._callers)
        walk.settle(layer, self.quantized, self._real, outputs if sequential else None)
        return self.quantized

    def _outputs(self) -> list[NDArray[np.float32]]:
        layer, walk = self._layer, self._walk
        session = walk.quantized_session(layer, self.quantized)
        return walk.each(lambda item: session.run({layer.input: walk.input(layer, item)})[0])

    def _fit(self, outputs: list[NDArray[np.float32]]) -> bool:
        layer, record = self._layer, self.quantized.record
        items = self._comparable
        if not items:
            return False
        (found, firsts), (wanted, _) = (
            _some([arrays[item] for item in items].__getitem__, layer, len(items), _FIT_POSITIONS, self._callers)
            for arrays in (outputs, self._real)
        )
        if not len(wanted) or not (np.isfinite(wanted).all() and np.isfinite(found).all()):
            return False
        clipping, with_factor = _clipping(self._node, layer), self._fits_scale()
        # Outputs whose squares float32 does not hold are fitted in units in which it does.
        unit = _unit(wanted)
        if unit != 1:
            found, wanted, clipping = found / unit, wanted / unit, clipping.in_units(unit)
        blocks = [slice(first, first + _FIT_CHANNELS) for first in range(0, layer.channels, _FIT_CHANNELS)]
        fits = each_of(
            lambda block: fit_outputs(
                found[:, block], wanted[:, block], clipping.of(block), with_factor=with_factor, firsts=firsts
            ),
            blocks,
            self._callers,
        )
        fit = Fit.of(fits).likely()
        shift = fit.shift * unit
        if not (np.isfinite(shift).all() and np.isfinite(fit.factor).all()):
            return False
        if layer.bias_behind:
            self.quantized = replace(self.quantized, shift=shift.astype(np.float32))
            return True
        scales = np.asarray(record.weight_scales, np.float32)
        if layer.per_channel:
            scales = (np.broadcast_to(scales, (layer.channels,)) * fit.factor).astype(np.float32)
        old = _deq(layer, self.quantized)
        new = np.broadcast_to(dequant_scale(record.activation.scale, scales), (layer.channels,))
        bias = 0.0 if self.quantized.bias is None else self.quantized.bias * old.astype(np.float64)
        real = fit.factor * bias + shift
        try:
            integers = int32_bias(quantize_bias(real, new))
            made = replace(record, weight_scales=tuple(float(scale) for scale in scales))
        except ValueError:
            return False
        return self._accept(replace(self.quantized, record=made, bias=integers))

    def _accept(self, quantized: QuantizedLayer) -> bool:
        """Take a form whose integer sums are legal; otherwise keep what there is."""
        try:
            check_sums(self._layer, quantized)
        except ValueError:
            return False
        self.quantized = quantized
        return True

    def _float_bias(self) -> NDArray[np.float32]:
        bias = float_bias(self._node)
        return np.zeros(1, np.float32) if bias is None else bias

    def _input(self, item: int) -> NDArray[np.float32]:
        """Return what the layer's AscendQuant reads."""
        return balanced(self._walk.input(self._layer, item), self.quantized.record.balance_factors, self._layer)

    def _weight(self, layer: Layer) -> NDArray[np.float64]:
        factors = self._start.form.layers[layer.name].record.balance_factors
        return balanced_rows(self._walk.node(layer), layer, factors).astype(np.float64).reshape(layer.channels, -1)

    def _fits_scale(self) -> bool:
        # What stands in a float Add behind the layer would have to be fitted again for other scales.
        return self._options.scale and self._layer.per_channel and not self._layer.bias_behind

    def _fits_bias(self, layer: Layer) -> bool:
        return self._options.bias != "none" and takes_bias(self._walk.node(layer))


def _some(
    array: Callable[[int], NDArray[np.float32]], layer: Layer, items: int, positions: int, callers: int
) -> tuple[NDArray[np.float32], list[int]]:
    """Return about so many positions of all items, evenly spaced in each, and the place of each item's first.

    Args:
        array: an item's input or output of the layer.
        layer: whose it is.
        items: how many there are.
        positions: of all of them.
        callers: threads to work in.

    Returns:
        Shape (positions, channels), the channels one after the other in memory.
    """
    first = by_channel(array(0), layer)
    step = max(1, items * len(first) // positions)
    sizes = each_of(lambda item: len(by_channel(array(item), layer)[item % step :: step]), range(items), callers)
    ends = np.cumsum(sizes).tolist()
    some = np.empty((first.shape[1], ends[-1]), np.float32)

    def take(item: int) -> None:
        some[:, ends[item] - sizes[item] : ends[item]] = by_channel(array(item), layer).T[:, item % step :: step]

    each_of(take, range(items), callers)
    return some.T, [end - size for end, size in zip(ends, sizes, strict=True) if size]


def _unit(values: NDArray[Any]) -> float:
    """Return a power of two to count values in, 1 unless their squares, or sums of these, may leave float32."""
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max(initial=0.0))
    if largest == 0 or _SMALL < largest < _LARGE:
        return 1.0
    return 2.0 ** int(np.frexp(largest)[1])


def _deq(layer: Layer, quantized: QuantizedLayer) -> NDArray[np.float32]:
    record = quantized.record
    return np.broadcast_to(dequant_scale(record.activation.scale, np.asarray(record.weight_scales)), (layer.channels,))


def outputs_again(
    outputs: Sequence[NDArray[np.float32]],
    layer: Layer,
    before: QuantizedLayer,
    after: QuantizedLayer,
    callers: int = 1,
) -> list[NDArray[np.float32]]:
    """Return what a layer gives with another bias and weight scale, from what it gave: its sums are integers.

    The bias of a MatMul is added in float: there, what the layer gives but for one rounding, outputs being rounded already.

    Args:
        outputs: what it gave, an entry an item; they are lost.
        layer: what it is.
        before: its form that gave them.
        after: its form with another bias and weight scale.
        callers: threads to work in.
    """
    if after.shift is not None:
        shift = after.shift
        return each_of(lambda y: np.add(y, shift, out=y), outputs, callers)
    axes = [1] * layer.spatial
    old, new = (
        np.zeros(layer.channels) if form.bias is None else form.bias.astype(np.float64) for form in (before, after)
    )
    gained = (new - old).astype(np.float32).reshape(-1, *axes)
    old_deq, new_deq = (_deq(layer, form).reshape(-1, *axes) for form in (before, after))

    def again(y: NDArray[np.float32]) -> NDArray[np.float32]:
        y /= old_deq
        np.rint(y, out=y)
        y += gained
        y *= new_deq
        return y

    return each_of(again, outputs, callers)


def _clipping(node: ir.Node, layer: Layer) -> Clipping:
    """Return what clips the output of a layer, with its bias, before anything else reads it."""
    output = biased(node).outputs[0]
    readers = list(output.consumers())
    if len(readers) != 1 or output.is_graph_output():
        return Clipping()
    reader = readers[0]
    if reader.op_type == "Relu":
        return Clipping(0.0, _end_after(reader, layer))
    if reader.op_type != "Clip":
        return Clipping()
    ends = [constant(value) for value in reader.inputs[1:]]
    low, high = (None if end is None else float(end.reshape(-1)[0]) for end in (*ends, None, None)[:2])
    return Clipping(-np.inf if low is None else low, np.inf if high is None else high)


def _end_after(relu: ir.Node, layer: Layer) -> float | NDArray[np.float32]:
    """Return what a Min cuts each channel of ``layer`` off at after its Relu: so equalization writes a Clip."""
    readers = list(relu.outputs[0].consumers())
    if len(readers) != 1 or relu.outputs[0].is_graph_output() or readers[0].op_type != "Min":
        return np.inf
    ends = [constant(value) for value in readers[0].inputs[1:]]
    end = ends[0] if len(ends) == 1 else None
    if end is None or end.shape != (layer.channels, *[1] * layer.spatial):
        return np.inf
    return np.asarray(end, np.float32).reshape(-1, 1)
