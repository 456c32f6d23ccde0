"""Every opset x every preset x every kind of layer, by the options that the command line gives."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from runner.app.job import _start
from runner.app.parsing import deciding, parse_job
from runner.app.places import register_resolvers, shipped
from runner.events import ignore
from tests.data import noise
from tests.models import proto, save

OPSETS = range(7, onnx.defs.onnx_opset_version() + 1)
PRESETS = ("amct", "fast", "best")
# graph, constants, shape of an item, layers
KINDS: dict[str, tuple[str, dict[str, Any], tuple[int, ...], int]] = {
    "Conv": (
        "g (float[N,3,6,6] x) => (float[N,4,H,W] y) { y = Conv <pads = [1,1,1,1]> (x, w, b) }",
        {"w": noise(1, 4, 3, 3, 3), "b": noise(2, 4)},
        (3, 6, 6),
        1,
    ),
    "depthwise Conv behind a Conv without a bias": (
        "g (float[N,3,6,6] x) => (float[N,4,H,W] y) { c = Conv (x, w)\n r = Relu (c)\n y = Conv <group = 4> (r, v) }",
        {"w": noise(1, 4, 3, 1, 1), "v": noise(2, 4, 1, 3, 3)},
        (3, 6, 6),
        2,
    ),
    "Conv over one axis": (
        "g (float[N,3,9] x) => (float[N,4,L] y) { y = Conv <strides = [2]> (x, w) }",
        {"w": noise(1, 4, 3, 3)},
        (3, 9),
        1,
    ),
    "Conv over three axes": (
        "g (float[N,2,4,4,4] x) => (float[N,3,D,H,W] y) { y = Conv (x, w, b) }",
        {"w": noise(1, 3, 2, 2, 2, 2), "b": noise(2, 3)},
        (2, 4, 4, 4),
        1,
    ),
    "ConvTranspose": (
        "g (float[N,3,5,5] x) => (float[N,4,H,W] y) { y = ConvTranspose <strides = [2,2]> (x, w, b) }",
        {"w": noise(1, 3, 4, 3, 3), "b": noise(2, 4)},
        (3, 5, 5),
        1,
    ),
    "Gemm": (
        "g (float[N,8] x) => (float[N,5] y) { y = Gemm <transB = 1> (x, w, b) }",
        {"w": noise(1, 5, 8), "b": noise(2, 5)},
        (8,),
        1,
    ),
    "MatMul": ("g (float[N,3,8] x) => (float[N,3,5] y) { y = MatMul (x, w) }", {"w": noise(1, 8, 5)}, (3, 8), 1),
    "MatMul and Add": (
        "g (float[N,3,8] x) => (float[N,3,5] y) { m = MatMul (x, w)\n y = Add (m, b) }",
        {"w": noise(1, 8, 5), "b": noise(2, 5)},
        (3, 8),
        1,
    ),
    "AveragePool": (
        "g (float[N,3,6,6] x) => (float[N,3,H,W] y) { y = AveragePool <kernel_shape = [2,2], strides = [2,2]> (x) }",
        {},
        (3, 6, 6),
        1,
    ),
    "BatchNormalization between two": (
        "g (float[N,3,6,6] x) => (float[N,5] y) { c = Conv (x, w)\n n = BatchNormalization (c, s, t, m, v)\n"
        " r = Relu (n)\n f = Flatten (r)\n y = Gemm (f, u) }",
        {
            "w": noise(1, 4, 3, 3, 3),
            "s": noise(2, 4),
            "t": noise(3, 4),
            "m": noise(4, 4),
            "v": np.abs(noise(5, 4)) + np.float32(0.5),
            "u": noise(6, 64, 5),
        },
        (3, 6, 6),
        2,
    ),
}
# Gemm's bias may be left out from opset 11 on.
SINCE = {"BatchNormalization between two": 11}


def composed(*options: str) -> dict[str, Any]:
    """Return what the command line makes of options for a model and data to be filled in, with nothing kept or tracked."""
    register_resolvers()
    given = ["model=file", "model.path=net.onnx", "dataset=npz", "dataset.path=data.npz"]
    given += ["tracking=none", "cache=none", "engine.callers=1"]
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", [*given, *options]), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@functools.cache
def configuration(preset: str) -> dict[str, Any]:
    """Return what the command line makes of a preset and a metric that needs no labels."""
    return composed(f"quant={preset}", "metric=sqnr", "target_loss=45", "calibration.count=4")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_layer_is_quantized_and_proved(opset: int, kind: str, preset: str, tmp_path: Path) -> None:
    graph, constants, shape, layers = KINDS[kind]
    opset = max(opset, SINCE.get(kind, 0))
    path = save(proto(graph, opset=opset, ir_version=4 if opset < 9 else 8, **constants), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=noise(7, 4, *shape))
    config = copy.deepcopy(configuration(preset))
    config["model"]["path"], config["dataset"]["path"] = str(path), str(tmp_path / "data.npz")
    result = _start(built := parse_job(config), deciding(built), config, tmp_path / "out", ignore)
    assert (result.status, len(result.form.layers), result.found.left_alone) == ("met", layers, ())
    assert result.checked.proof.sameness.identical == result.checked.proof.sameness.items > 0
    written = onnx.load(result.folder.path(result.checked.written.pair.deploy))
    assert [entry.version for entry in written.opset_import] == [min(opset, 18)]


LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
# QuantizeLinear is known from opset 10 on; onnxruntime has no kernel for the version of opset 28.
QAT_OPSETS = range(10, 28)


def trained(source: onnx.ModelProto, zero_point: int) -> onnx.ModelProto:
    """Return the network with a pair before every layer and int8 weights, as quantization-aware training leaves it."""
    graph = source.graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes, more = (
        [],
        {"in_s": np.float32(0.05), "in_z": np.int8(zero_point), "w_s": np.float32(1 / 64), "w_z": np.int8(0)},
    )
    for node in graph.node:
        if node.op_type in LAYERS:
            read = node.input[0]
            nodes.append(
                onnx.helper.make_node("QuantizeLinear", [read, "in_s", "in_z"], [f"{read}.q"], f"Q{len(nodes)}")
            )
            nodes.append(
                onnx.helper.make_node(
                    "DequantizeLinear", [f"{read}.q", "in_s", "in_z"], [f"{read}.d"], f"D{len(nodes)}"
                )
            )
            node.input[0] = f"{read}.d"
            if len(node.input) > 1:
                name = node.input[1]
                more[f"{name}.q"] = np.clip(np.rint(weights[name] * 64), -127, 127).astype(np.int8)
                nodes.append(
                    onnx.helper.make_node("DequantizeLinear", [f"{name}.q", "w_s", "w_z"], [f"{name}.d"], f"{name}_D")
                )
                node.input[1] = f"{name}.d"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in more.items())
    return source


@functools.cache
def conversion() -> dict[str, Any]:
    """Return what the command line makes of the other mode."""
    return composed("mode=convert_qat")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opset", QAT_OPSETS)
def test_trained_layer_is_converted_and_proved(opset: int, kind: str, tmp_path: Path) -> None:
    graph, constants, shape, layers = KINDS[kind]
    opset = max(opset, SINCE.get(kind, 0))
    # Over three axes the deploy format takes zero point 0 alone.
    source = trained(proto(graph, opset=opset, ir_version=8, **constants), 0 if len(shape) == 4 else 3)
    path = save(source, tmp_path / "net.onnx")
    x = noise(7, 4, *shape)
    np.savez(tmp_path / "data.npz", x=x)
    config = copy.deepcopy(conversion())
    config["model"]["path"], config["dataset"]["path"] = str(path), str(tmp_path / "data.npz")
    result = _start(built := parse_job(config), deciding(built), config, tmp_path / "out", ignore)
    assert (len(result.form.layers), result.checked.proof.sameness.identical) == (
        layers,
        result.checked.proof.sameness.items,
    )
    written = onnx.load(result.folder.path(result.checked.written.pair.deploy))
    assert [entry.version for entry in written.opset_import] == [min(opset, 18)]
    # What the source computes with its pairs as written, by onnxruntime.
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    real = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"x": x[:1]})[0]
    fake_quant = str(result.folder.path(result.checked.written.pair.fake_quant))
    simulated = ort.InferenceSession(fake_quant, providers=["CPUExecutionProvider"]).run(None, {"x": x[:1]})[0]
    # One code of the second layer's input may lie between two.
    np.testing.assert_allclose(simulated, real, atol=0.06 * np.abs(real).max())
