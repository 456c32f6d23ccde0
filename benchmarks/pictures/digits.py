"""What the pictures are drawn from: the shipped model and digits, calibrated as a job does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.ifmr import Ifmr
from runner.calibration.layer_by_layer import layer_by_layer, pair_sums
from runner.calibration.observer import Observer
from runner.calibration.quantize import quantize_layers
from runner.correction.calibrated import Calibrated
from runner.dataset.binding import bind
from runner.dataset.image_folder import ImageFolder
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import LayeredModel, find_layers
from runner.graph.model_file import load_model
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.graph.probe import only_outputs
from runner.record import QuantizedLayers
from runner.similarity import sqnr_db
from runner.targets.ascend.limits import ASCEND

_ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = _ROOT / "model" / "mobilenet_v2_digits.onnx"


@functools.cache
def engine() -> Engine:
    """Return an engine of one caller: sums come in one order."""
    return Engine(1)


def items(part: str) -> Subset:
    """Return the shipped digits of ``calibration`` or ``eval``."""
    folder = _ROOT / "data" / "digits" / part
    data = ImageFolder(str(folder), str(folder / "image_label.txt"), ImagePreprocess(scale=1 / 127.5, mean=1.0))
    return Subset(data, range(len(data)))


@functools.cache
def model() -> LayeredModel:
    """Return the shipped float model with its layers."""
    graph = prepare(load_model(MODEL).graph, ASCEND).graph
    return find_layers(graph, ASCEND).on(raise_opset(graph))


def calibrated(observer: Observer | None = None) -> Calibrated:
    """Return the model with every layer in int8, rounded to nearest, as ``quant=amct`` has it."""
    found = model()
    chosen = dict.fromkeys([layer.name for layer in found.layers], observer or Ifmr())
    seen = collect(found, items("calibration"), observers=chosen, engine=engine())
    return Calibrated(found, quantize_layers(found, seen).form, seen)


def values(tensor: str, of: Subset) -> NDArray[np.float32]:
    """Return a tensor of the float model over some items, shape (items, ...)."""
    session = engine().session(only_outputs(model().graph, [tensor]))

    def run(index: int) -> NDArray[Any]:
        feeds = bind(of.dataset.item(index), session.inputs, name=of.dataset.name(index))
        return session.run(feeds)[0]

    return np.concatenate([run(index) for index in of.indices])


def layer_sqnr(form: QuantizedLayers, of: Subset) -> dict[str, float]:
    """Return each layer's own SQNR in dB on float inputs, the mean over items."""
    found: dict[str, list[float]] = {}
    for sums in layer_by_layer(model(), form, of, engine=engine()):
        for name, layer in sums.items():
            found.setdefault(name, []).append(sqnr_db(pair_sums(layer)))
    return {name: float(np.mean(each)) for name, each in found.items()}
