"""Symmetric activations through the whole job, for every observer: zero point 0 in every file, and AMCT's divisor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from runner.calibration.hfmg import Hfmg
from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.calibration.observer import Observer
from runner.calibration.percentile import Percentile
from runner.dataset.npz import NpzDataset
from runner.engine import Engine
from runner.evaluation.distance import Kl
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.record_text import read_record
from tests import device
from tests.data import normal_items
from tests.models import conv_gemm, prepared, run_plain, save

OBSERVERS = {
    "ifmr": Ifmr(asymmetric=False),
    "hfmg": Hfmg(asymmetric=False),
    "percentile": Percentile(0.99, 0.99, asymmetric=False, exact=True),
    "minmax": MinMax(asymmetric=False),
}
LAYERS = ("first", "second", "logits")


def job(folder: Path, x: NDArray, observer: Observer) -> Path:
    """Quantize the small network on ``x`` with every layer int8 and return the job's folder."""
    np.savez(folder / "data.npz", x=x)
    options = AccAutoOptions(
        target_loss=1000.0, metric=Kl(), observer=observer, calibration_count=len(x), output_kind="logits"
    )
    model = save(conv_gemm(), folder / "net.onnx")
    result = acc_auto(model, NpzDataset(str(folder / "data.npz")), folder / "out", options, engine=Engine(2))
    assert result.status == "met" and result.fallback == ()
    return folder / "out"


def layer_inputs(x: NDArray) -> dict[str, NDArray]:
    """Return each layer's input over all items, as onnxruntime computes it."""
    graph, found = prepared(conv_gemm())
    items = run_plain(graph, x, [layer.input for layer in found.layers])
    return {layer.name: np.concatenate([item[i] for item in items]) for i, layer in enumerate(found.layers)}


@pytest.fixture(scope="module", params=OBSERVERS)
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job with each observer."""
    return job(tmp_path_factory.mktemp(request.param), normal_items(12, 2, 6, 6), OBSERVERS[request.param])


def test_zero_point_is_0_in_record_config_and_deploy_model(out: Path) -> None:
    record = read_record(out / "tmp" / "scale_offset_record.txt")
    assert {layer: entry.activation.zero_point for layer, entry in record.layers.items()} == dict.fromkeys(LAYERS, 0)
    config = json.loads((out / "tmp" / "config.json").read_text())
    assert config["activation_offset"] is False
    assert [config[layer]["activation_quant_params"]["asymmetric"] for layer in LAYERS] == [False] * 3
    deploy = onnx.load(out / "results" / "net_deploy_model.onnx").graph
    quants = [
        {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for node in deploy.node
        if node.op_type == "AscendQuant"
    ]
    scales = [np.float32(1) / np.float32(record.layers[layer].activation.scale) for layer in LAYERS]
    assert [(np.float32(quant["scale"]), float(quant["offset"])) for quant in quants] == [(s, 0.0) for s in scales]


@pytest.mark.parametrize("sign", [1, -1], ids=["extreme above zero", "extreme below zero"])
@pytest.mark.parametrize("name", OBSERVERS)
def test_scale_divides_the_larger_side_by_127_or_128(tmp_path: Path, name: str, sign: int) -> None:
    x = normal_items(12, 2, 6, 6)
    x[3].flat[:] *= 2
    x[3].flat[5] = sign * 9.0
    record = read_record(job(tmp_path, x, OBSERVERS[name]) / "tmp" / "scale_offset_record.txt")
    for layer, values in layer_inputs(x).items():
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        extreme = max(-low, high) / (128 if -low > high else 127)
        scale = record.layers[layer].activation.scale
        if name == "minmax":
            assert scale == pytest.approx(extreme, rel=1e-6)
        elif name == "percentile":
            ordered, k = np.sort(values.reshape(-1)), values.size - int(0.99 * values.size)
            low, high = min(0.0, float(ordered[k - 1])), max(0.0, float(ordered[-k]))
            assert scale == pytest.approx(max(-low, high) / (128 if -low > high else 127), rel=1e-6)
        elif name == "ifmr":
            ratio = scale / extreme
            assert 0.699 < ratio < 1.301 and ratio * 100 == pytest.approx(round(ratio * 100), abs=1e-3)
        else:
            assert 0.2 * extreme < scale <= extreme * (1 + 1e-6)


def test_first_layer_of_the_written_model_computes_the_devices_integers(out: Path) -> None:
    x = normal_items(12, 2, 6, 6)
    entry = read_record(out / "tmp" / "scale_offset_record.txt").layers["first"]
    stored = {
        t.name: numpy_helper.to_array(t) for t in onnx.load(out / "results" / "net_deploy_model.onnx").graph.initializer
    }
    deployed = next(n for n in onnx.load(out / "results" / "net_deploy_model.onnx").graph.node if n.name == "first")
    weight, bias = (stored[tensor] for tensor in deployed.input[1:3])
    q = device.centred(x, entry.activation.scale, 0)
    expected = device.real(
        device.conv(q, weight, bias, pads=(1, 1, 1, 1)), entry.activation.scale, entry.weight_scales, 1
    )
    fake = onnx.load(out / "results" / "net_fake_quant_model.onnx")
    relu = next(node for node in fake.graph.node if node.op_type == "Relu")
    got = np.concatenate([item[0] for item in run_plain(fake, x, [relu.input[0]])])
    assert np.array_equal(got, expected)
