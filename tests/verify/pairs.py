"""Small pairs of written files to hold against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.model_file import model_bytes
from runner.graph.opset import raise_opset
from runner.graph.smoothing import with_smoothed_inputs
from runner.record import QuantizedLayers
from runner.targets.ascend.deploy import deploy_model
from runner.verify.compare import FilePair, Sameness
from runner.verify.cross_check import cross_check
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from tests.data import Items
from tests.models import for_all, prepared


def write_pair(
    folder: Path, model: onnx.ModelProto, x, *, without=(), tensors=None, balance=None
) -> tuple[Path, Path, QuantizedLayers]:
    """Write both files of a calibrated model.

    ``without`` names layers left float, ``tensors`` is rounded besides, ``balance`` holds factors of layers.
    """
    graph, found = prepared(model)
    layers = with_smoothed_inputs(found, balance or {})
    seen = collect(layers, Subset.whole(Items(x)), observers=for_all(layers, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen, smoothing=balance).form.without(without)
    form = QuantizedLayers(form.layers, tensors or {})
    deploy, fake_quant = folder / "deploy.onnx", folder / "fake_quant.onnx"
    deploy.write_bytes(model_bytes(deploy_model(found, form)))
    fake_quant.write_bytes(model_bytes(fake_quant_model(found.on(raise_opset(graph)), form)))
    return deploy, fake_quant, form


def compared(deploy: Path, fake_quant: Path, x) -> Sameness:
    """Hold the two files against each other over items: every layer, then the outputs."""
    items = Subset.whole(Items(x))
    read, engine = read_deploy(deploy), Engine(2)
    pair = FilePair(executable(read), fake_quant, engine)
    cross_check(read, pair, items.at(range(min(2, len(x)))), engine)
    return pair.check(items, lambda a, b: bool(np.argmax(a[0]) == np.argmax(b[0])))
