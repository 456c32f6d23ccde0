"""Every opset x every preset x every kind of layer, by the options that the command line gives."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from runner.app.job import _start, parse_job
from runner.app.places import register_resolvers, shipped
from runner.events import ignore
from tests.small_data import save
from tests.tiny_models import noise, proto

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


@functools.cache
def configuration(preset: str) -> dict[str, Any]:
    """Return what the command line makes of a preset and a metric that needs no labels."""
    register_resolvers()
    options = ["model=file", "model.path=net.onnx", "dataset=npz", "dataset.path=data.npz", f"quant={preset}"]
    options += [
        "metric=sqnr",
        "target_loss=45",
        "calibration.count=4",
        "tracking=none",
        "cache=none",
        "engine.callers=1",
    ]
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", options), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_layer_is_quantized_and_proved(
    opset: int, kind: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # hundreds of jobs, whose files nobody keeps
    graph, constants, shape, layers = KINDS[kind]
    opset = max(opset, SINCE.get(kind, 0))
    path = save(proto(graph, opset=opset, ir_version=4 if opset < 9 else 8, **constants), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=noise(7, 4, *shape))
    config = copy.deepcopy(configuration(preset))
    config["model"]["path"], config["dataset"]["path"] = str(path), str(tmp_path / "data.npz")
    result = _start(parse_job(config), tmp_path / "out", ignore)
    assert (result.status, len(result.form.layers), result.found.left_alone) == ("met", layers, ())
    assert result.proof.sameness.identical == result.proof.sameness.items > 0
    written = onnx.load(result.folder.path(result.written.pair.deploy))
    assert [entry.version for entry in written.opset_import] == [min(opset, 18)]
