"""Choose the factors of balanced inputs (``runner.graph.balance``) as AMCT's DMQ balancer does, from each channel's peaks.

    f_c = actmax_c ** strength / wmax_c ** (1 - strength)

with actmax_c the largest magnitude of input channel c over the items, and wmax_c that of the weights that meet it. The
balanced channel then reaches ``(actmax_c * wmax_c) ** (1 - strength)``, its weights ``(actmax_c * wmax_c) ** strength``: a
channel that is wide only because its weights are small no longer takes the codes of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.calibration.collect import check_finite
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.graph.balance import Factors, weight_peaks
from runner.graph.layers import Layer
from runner.graph.probe import with_outputs
from runner.session import Session

# The version of this stage's meaning: raise it when the same model and data would give other factors.
VERSION = 1

# A record takes what lies between these, not the ends themselves.
_LEAST = np.nextafter(np.float32(FLT_EPSILON), np.float32(1))
_MOST = np.nextafter(np.float32(1 / FLT_EPSILON), np.float32(1))

# A tensor's name, and which of its axes the channels are.
_Input = tuple[str, int]


def choose_factors(
    model: ir.Model,
    layers: Sequence[Layer],
    strengths: Mapping[str, float],
    dataset: Dataset,
    indices: Sequence[int],
    *,
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> Factors:
    """Return the factors of the layers to balance, after one pass over the items; one whose factors are all alike has none.

    Args:
        model: the prepared float model at a runnable opset.
        layers: its layers.
        strengths: layer name -> migration strength, of those to balance.
        dataset: calibration data.
        indices: which items of it.
        engine: runs the model.
        progress: told the number of items done.

    Raises:
        ModelError: an activation holds a value that is not finite.
    """
    wanted = [layer for layer in layers if layer.name in strengths]
    if not wanted:
        return {}
    nodes = {node.name: node for node in model.graph}
    peaks = _input_peaks(model, [_input(layer) for layer in wanted], dataset, indices, engine, progress)
    chosen = {}
    for layer in wanted:
        weights = weight_peaks(nodes[layer.name], layer)
        factors = balance_factors(peaks[_input(layer)], weights, strengths[layer.name])
        # One factor for all channels would only change the two scales by as much.
        if np.any(factors != factors[0]):
            chosen[layer.name] = tuple(float(factor) for factor in factors)
    return chosen


def balance_factors(inputs: NDArray[np.float64], weights: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """Return the factor of each channel, within what a record takes; all three arrays have shape (channels,).

    Args:
        inputs: the largest magnitude of each channel.
        weights: the largest magnitude of the weights that meet it.
        strength: how much of what channels differ by goes to the weights.
    """
    # AMCT takes what is below FLT_EPSILON for 0.
    reads, weighs = inputs >= FLT_EPSILON, weights >= FLT_EPSILON
    both = reads & weighs
    factors = np.ones(inputs.shape)
    if both.any():
        factors[both] = inputs[both] ** strength / weights[both] ** (1 - strength)
        # AMCT's w_outlier and act_outlier, read as the largest balanced weight and the largest balanced activation of the
        # channels that have both: a channel without input gets weights that just reach the one, a channel without weights
        # an activation that just reaches the other. Neither widens a range, and neither reaches the output.
        outlier_weight = np.max(weights[both] * factors[both])
        outlier_input = np.max(inputs[both] / factors[both])
        factors[~reads & weighs] = outlier_weight / weights[~reads & weighs]
        factors[reads & ~weighs] = inputs[reads & ~weighs] / outlier_input
    return np.clip(factors.astype(np.float32), _LEAST, _MOST)


def _input(layer: Layer) -> _Input:
    return layer.input, 1 if layer.spatial else -1


def _input_peaks(
    model: ir.Model,
    inputs: Sequence[_Input],
    dataset: Dataset,
    indices: Sequence[int],
    engine: Engine,
    progress: Callable[[int], None],
) -> dict[_Input, NDArray[np.float64]]:
    """Return the largest magnitude of each channel of some tensors over the items."""
    unique = list(dict.fromkeys(inputs))
    tensors = list(dict.fromkeys(name for name, _ in unique))

    def reduce(_: int, arrays: list[NDArray[Any]]) -> list[NDArray[np.float64]]:
        values = dict(zip(tensors, arrays, strict=True))
        return [_peaks(values[name], axis, name) for name, axis in unique]

    peaks: list[NDArray[np.float64]] = []
    session = Session(with_outputs(model, tensors))
    for done, item in enumerate(engine.map(session, dataset, indices, reduce, outputs=tensors), 1):
        peaks = list(map(np.maximum, peaks, item)) if peaks else item
        progress(done)
    return dict(zip(unique, peaks, strict=True))


def _peaks(array: NDArray[Any], axis: int, name: str) -> NDArray[np.float64]:
    check_finite(array, name)
    others = tuple(place for place in range(array.ndim) if place != axis % array.ndim)
    peaks: NDArray[np.float64] = np.maximum(array.max(axis=others), -array.min(axis=others)).astype(np.float64)
    return peaks
