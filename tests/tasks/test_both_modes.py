"""Every task in both modes, for both targets, under every preset, by the command line's configuration.

The figures are held against the written file, run in onnxruntime alone: its outputs give the float figure's rows and the
quantized ones by the metric itself, whose own truth is tested beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from runner.app.options import AccAutoJob
from runner.app.parsing import deciding, parse_job
from runner.app.places import register_resolvers, shipped
from runner.evaluation.scores import column
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.result import JobResult
from tests.models import run_plain, save
from tests.tasks.task_cases import CASES, quantization_aware


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def job(*overrides: str):
    register_resolvers()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return parse_job(plain)


def figure(built, metric, model: onnx.ModelProto) -> float:
    """Return a metric of a model in onnxruntime without the runner's sessions, an item at a time."""
    rows = []
    for index in range(len(built.dataset)):
        item = built.dataset.item(index)
        (x,) = item.arrays.values()
        names = [output.name for output in model.graph.output]
        (outputs,) = run_plain(model, x[np.newaxis], names)
        rows.append(metric.score(dict(zip(names, outputs, strict=True)), {}, item.label, None))
    return metric.aggregate(column([tuple(row) for row in rows]))


def check(built, result: JobResult, name: str, source: onnx.ModelProto) -> None:
    metric, headline = deciding(built), result.comparison.headline
    assert headline.name == metric.name == CASES[name].metric
    assert np.isfinite([headline.before, headline.after, headline.loss]).all()
    assert headline.before == pytest.approx(figure(built, metric, source), abs=1e-3)
    runnable = [file for file in result.models if "deploy" not in file]
    written = onnx.load(result.folder.path(runnable[0]))
    assert headline.after == pytest.approx(figure(built, metric, written), abs=1e-3)


@pytest.mark.parametrize("target", ["ascend", "qdq"])
@pytest.mark.parametrize("preset", ["amct", "fast", "best"])
@pytest.mark.parametrize("name", CASES)
def test_acc_auto_judges_by_the_measure_of_the_task(name: str, preset: str, target: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = case.graph()
    path = save(model, tmp_path / "net.onnx")
    options = case.truth(tmp_path, model)
    built = job("model=file", f"model.path={path}", *options, f"quant={preset}", f"target={target}", "target_loss=1000")
    assert isinstance(built, AccAutoJob)
    metric = deciding(built)
    result = acc_auto(
        path,
        built.dataset,
        tmp_path / "out",
        AccAutoOptions(
            target_loss=1000,
            metric=metric,
            observer=built.observer,
            correction=built.correction,
            sensitivity=built.sensitivity,
            strategy=built.strategy,
            target=built.target,
            calibration_count=8,
        ),
    )
    assert result.status == "met" and not result.fallback
    check(built, result, name, model)


@pytest.mark.parametrize("target", ["ascend", "qdq"])
@pytest.mark.parametrize("name", CASES)
def test_convert_qat_compares_by_the_measure_of_the_task(name: str, target: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = quantization_aware(case.graph(), tmp_path)
    path = save(model, tmp_path / "net.onnx")
    options = case.truth(tmp_path, model)
    built = job("mode=convert_qat", "model=file", f"model.path={path}", *options, f"target={target}")
    result = convert_qat(
        path, built.dataset, tmp_path / "out", ConvertQatOptions(metric=deciding(built), target=built.target)
    )
    assert result.form.layers
    check(built, result, name, model)
