"""What PyTorch's two exporters make of fourteen architectures at opsets 13 to 23 is quantized by the default options.

``python -m benchmarks.exports --pack tests/exports/networks.tar.xz`` makes the archive; the networks have random weights.
"""

from __future__ import annotations

import functools
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from runner import AccAutoOptions, acc_auto
from runner.engine import Engine
from runner.evaluation.distance import Sqnr
from runner.lint.check import check_deploy
from runner.targets.target import VerifyOptions
from tests.data import Items

ARCHIVE = Path(__file__).with_name("networks.tar.xz")
# Of each architecture's layers, whoever exports it.
LAYERS = {
    "mobilenet_v3": 14,
    "resnet": 14,
    "efficientnet": 37,
    "convnext": 17,
    "vit": 10,
    "swin": 10,
    "bert": 6,
    "t5_encoder": 6,
    "llama": 7,
    "unet": 9,
    "reader": 3,
    "einsum_mixer": 5,
    "detector": 23,
    "vocoder": 6,
}
# Of those, the expectations over the bins of a detector's two heads: they stay float.
BETTER_FLOAT = {"detector": 2}
OPSETS = {"script": (13, 17, 18, 20, 21), "dynamo": (18, 20, 21, 23)}
EXPORTS = [f"{name}-{exporter}-{opset}" for name in LAYERS for exporter, opsets in OPSETS.items() for opset in opsets]
ITEMS = 4


@functools.cache
def archived() -> dict[str, bytes]:
    with tarfile.open(ARCHIVE) as archive:
        return {
            member.name.removesuffix(".onnx"): archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }


def items(model: onnx.ModelProto) -> NDArray:
    (given,) = model.graph.input
    shape = [ITEMS, *(axis.dim_value for axis in given.type.tensor_type.shape.dim[1:])]
    rng = np.random.default_rng(1)
    if given.type.tensor_type.elem_type == onnx.TensorProto.INT64:
        return rng.integers(0, 64, shape)
    return rng.standard_normal(shape).astype(np.float32)


def test_archive_holds_what_is_tested() -> None:
    assert sorted(archived()) == sorted(EXPORTS)


@pytest.mark.parametrize("export", EXPORTS)
def test_export_is_quantized_and_proved(export: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(archived()[export])
    source = onnx.load(path)
    x = items(source)
    options = AccAutoOptions(60.0, metric=Sqnr(), calibration_count=ITEMS, verify=VerifyOptions(count=1, device="none"))
    result = acc_auto(path, Items(x), tmp_path / "out", options, engine=Engine(1))
    name = export.partition("-")[0]
    layers, left = LAYERS[name], BETTER_FLOAT.get(name, 0)
    assert (result.status, len(result.form.layers), len(result.found.layers)) == ("met", layers - left, layers)
    assert len(result.fallback) == left
    assert result.checked.proof.sameness.identical == result.checked.proof.sameness.items > 0
    # The deploy file's opset, and whether any of its operators is foreign to ATC.
    deploy = result.folder.path(result.checked.written.pair.deploy)
    assert onnx.load(deploy).opset_import[0].version == min(18, source.opset_import[0].version)
    assert [finding for finding in check_deploy(deploy) if finding.severity == "fault"] == []
    # The simulation against the source, both by onnxruntime alone.
    real, simulated = (
        ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(
            None, {source.graph.input[0].name: x[:1]}
        )[0]
        for file in (path, result.folder.path(result.checked.written.pair.fake_quant))
    )
    assert 10 * np.log10(np.sum(real**2) / np.sum((real - simulated) ** 2)) > 8
