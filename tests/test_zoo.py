"""Real models: a whole job, and the same bits at every optimisation level of plain onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.image_folder import ImageFolder
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import find_layers
from runner.graph.model_file import load_model, model_bytes
from runner.graph.opset import raise_opset
from runner.graph.prepare import prepare
from runner.job_folder import read_manifest
from runner.targets.ascend.limits import ASCEND
from tests.command import ROOT, command, digests
from tests.models import for_all

pytestmark = pytest.mark.zoo


def test_job_on_a_real_model_keeps_its_target(zoo: Path, tmp_path: Path) -> None:
    ended = command(
        *["--config-dir", str(ROOT / "tests" / "conf"), "+experiment=zoo/st_mobilenet_v2", "observer=minmax"],
        *["calibration.count=10", "evaluation.count=100", "tracking=none", f"paths.output={tmp_path}"],
        cwd=ROOT,
    )
    assert ended.status in (0, 3), ended.err
    folder = tmp_path / "acc_auto"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["samples"] == 100
    assert summary["float_metric"] >= 70
    assert (ended.status == 0) == (summary["loss"] < 0.2) == summary["target_met"]
    assert summary["layers_int8"] + len(summary["fallback"]) == summary["layers_total"]
    written = {name for name in read_manifest(folder) if name.endswith("_model.onnx")}
    assert bool(written) == summary["target_met"]
    found = digests(folder)
    assert {name: found[name] for name in read_manifest(folder)} == read_manifest(folder)


@pytest.mark.parametrize(
    ("file", "layers", "folded", "left"),
    [
        ("resnet20_cifar10_bn", 20, 19, {"GlobalAveragePool"}),
        ("vit_tiny_mnist", 20, 0, {"MatMul"}),
        ("mnist_cntk_opset8", 3, 2, set()),
        ("ultraface_version-slim-320_simplified", 42, 0, set()),
        ("mlperftiny_ad01_fp32", 10, 0, set()),
        ("mlperftiny_kws_ref_model_float32", 10, 0, {"GlobalAveragePool"}),
    ],
)
def test_layers_of_real_models_are_found(zoo: Path, file: str, layers: int, folded: int, left: set[str]) -> None:
    prepared = prepare(load_model(zoo / "models" / f"{file}.onnx").graph, ASCEND)
    found = find_layers(prepared.graph, ASCEND)
    assert (len(found.layers), len(prepared.folded)) == (layers, folded)
    assert {item.op_type for item in found.left_alone} == left


@pytest.mark.parametrize(
    ("name", "metric", "layers"), [("yolox_nano", "map", 113), ("deeplab", "miou", 55), ("ppocr_rec", "text", 48)]
)
def test_detector_segmenter_and_reader_are_judged_by_their_tasks(
    zoo: Path, tmp_path: Path, name: str, metric: str, layers: int
) -> None:
    ended = command(
        *[
            "--config-dir",
            str(ROOT / "tests" / "conf"),
            f"+experiment=zoo/{name}",
            "observer=minmax",
            "target_loss=100",
        ],
        *["calibration.count=2", "evaluation.count=3", "verify.count=1", "tracking=none", f"paths.output={tmp_path}"],
        cwd=ROOT,
    )
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    assert (next(iter(summary["metrics"])), summary["layers_int8"], summary["samples"]) == (metric, layers, 3)
    assert summary["loss"] < 15


@pytest.mark.parametrize("name", ["ultraface", "mnist_cntk"])
def test_job_on_a_model_of_fixed_batch_meets_its_target(zoo: Path, tmp_path: Path, name: str) -> None:
    ended = command(
        *[
            "--config-dir",
            str(ROOT / "tests" / "conf"),
            f"+experiment=zoo/{name}",
            "observer=minmax",
            "calibration.count=10",
        ],
        *["evaluation.count=12", "tracking=none", f"paths.output={tmp_path}"],
        cwd=ROOT,
    )
    assert ended.status == 0, ended.err
    summary = json.loads((tmp_path / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    assert summary["layers_int8"] == summary["layers_total"] == {"ultraface": 42, "mnist_cntk": 3}[name]


def test_all_int8_model_gives_the_same_bits_at_every_optimisation_level(zoo: Path, tmp_path: Path) -> None:
    images = zoo / "imagenet1000_256"
    preprocess = ImagePreprocess(crop=224, mean=127.5, std=127.5)
    photos = ImageFolder(str(images), str(images / "image_label.txt"), preprocess)
    source = load_model(zoo / "models" / "tf2_mobilenet_v2_1.0_224_ptq_float.onnx")
    graph = raise_opset(prepare(source.graph, ASCEND).graph)
    found = find_layers(graph, ASCEND)
    seen = collect(found, Subset(photos, range(0, 1000, 250)), observers=for_all(found, MinMax()), engine=Engine())
    form = quantize_layers(found, seen).form
    assert len(form.layers) == len(found.layers) == 53
    path = tmp_path / "fake_quant.onnx"
    path.write_bytes(model_bytes(fake_quant_model(found, form)))
    answers = {}
    for level in ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL"):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        feeds = [photos.item(index).arrays[""][np.newaxis] for index in (1, 251, 501, 751)]
        answers[level] = np.concatenate([session.run(None, {name: feed})[0] for feed in feeds])
    for level, rows in answers.items():
        assert rows.tobytes() == answers["DISABLE_ALL"].tobytes(), level
    assert len({int(row.argmax()) for row in answers["DISABLE_ALL"]}) > 1
