"""Jobs of the command line as runs in a real MLflow store."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from runner.app.tracking import following
from runner.job_folder import read_manifest
from tests.app.conftest import Command, Tiny
from tests.app.tracking.conftest import RunStore
from tests.app.tracking.warnings import pytestmark  # noqa: F401
from tests.command import command, digests, environment

SLOW = """
import time
from runner.app import job, main
job._start = lambda *args: time.sleep(300)
main.console()
"""


def tracked(tiny: Tiny, **more: object) -> list[str]:
    """Return the tiny job with MLflow."""
    return tiny.options(**({"tracking": "mlflow", "tracking__experiment": "own"} | more))


def test_job_is_one_run_with_all_its_files(tiny: Tiny, run: Command, store: RunStore) -> None:
    ended = run(*tracked(tiny), "verbose=true")
    assert ended.status == 0, ended.err
    (one,) = store.runs()
    page = f"http://127.0.0.1:5000/#/experiments/{one.info.experiment_id}/runs/{one.info.run_id}"
    told = f"The run: mlflow ui --backend-store-uri sqlite:///{store.root}/mlflow.db\n  then open {page}\n"
    assert told in ended.err
    assert re.search(r"^log to MLflow: \d+\.\d s$", ended.err, re.MULTILINE)
    folder = store.root / "acc_auto"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert one.info.run_name == "net top1<90 binary"
    assert one.info.status == "FINISHED"
    assert float(one.data.params["target_loss"]) == 90
    assert one.data.params["observer"] == "minmax"
    assert one.data.params["quant"] == "amct"
    assert one.data.metrics["loss"] == pytest.approx(summary["loss"])
    assert one.data.metrics["quantized/top1"] == pytest.approx(summary["quantized_metric"])
    assert one.data.metrics["layers/int8"] == 3
    assert one.data.tags["model.sha256"] == summary["model_sha256"]
    assert one.data.tags["dataset.evaluation.fingerprint"] == summary["dataset_fingerprint"]
    assert one.data.tags["version.onnxruntime"] == summary["versions"]["onnxruntime"]
    log = {"manifest.json", "events.jsonl", "amct_log/amct_onnx.log"}
    config = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert set(store.files(one.info.run_id)) == set(read_manifest(folder)) | log | config


def test_description_is_the_report_in_a_sentence(tiny: Tiny, run: Command, store: RunStore) -> None:
    assert run(*tracked(tiny)).status == 0
    (one,) = store.runs()
    summary = json.loads((store.root / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    told = one.data.tags["mlflow.note.content"]
    figures = f"top1 {summary['float_metric']:g} → {summary['quantized_metric']:g} (40 items)"
    assert told.startswith(f"**target met**: net on data; {figures}; loss ")
    assert "artifacts/report.html)" in told and "net_deploy_model.onnx)" in told


def test_every_option_of_the_configuration_is_a_param(tiny: Tiny, run: Command, store: RunStore) -> None:
    assert run(*tracked(tiny)).status == 0
    (one,) = store.runs()
    first = (store.root / "acc_auto" / "events.jsonl").read_text(encoding="utf-8").splitlines()[0]
    params = json.loads(first)["params"]
    assert len(one.data.params) == len(params) > 40
    assert one.data.params["strategy"] == "binary" and one.data.params["verify.count"] == str(params["verify.count"])


def test_seconds_of_tracking_are_added_and_the_manifest_stays_true(tiny: Tiny, run: Command, store: RunStore) -> None:
    assert run(*tracked(tiny)).status == 0
    folder = store.root / "acc_auto"
    seconds = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["seconds"]
    assert 0 < seconds["track"] < seconds["total"]
    manifest, found = read_manifest(folder), digests(folder)
    assert {name: found[name] for name in manifest} == manifest


def test_refused_job_is_a_failed_run(tiny: Tiny, run: Command, store: RunStore) -> None:
    assert run(*tiny.options()).status == 0
    before = digests(store.root / "acc_auto")
    assert run(*tracked(tiny, model__path="absent.onnx")).status == 2
    assert digests(store.root / "acc_auto") == before
    (one,) = store.runs()
    assert one.info.status == "FAILED"
    assert one.data.tags["error"].startswith("model.path: absent.onnx does not exist")


def test_jobs_of_a_sweep_are_flat_runs_that_share_a_tag(tiny: Tiny, run: Command, store: RunStore) -> None:
    ended = run("-m", *tracked(tiny, target_loss="80,90"))
    assert ended.status == 0
    found = store.runs()
    (sweep,) = (store.root / "sweeps").iterdir()
    assert {one.data.tags["sweep"] for one in found} == {sweep.name}
    assert sorted(float(one.data.params["target_loss"]) for one in found) == [80, 90]
    assert not any("mlflow.parentRunId" in one.data.tags for one in found)
    assert found[0].data.params.keys() == found[1].data.params.keys()
    # Told once, at the end of the sweep: in charts, and side by side.
    number, chosen = found[0].info.experiment_id, f"tags.sweep%20%3D%20%22{sweep.name}%22"
    chart, compared = re.findall(r"^  then open http://127.0.0.1:5000/#/(.*)$", ended.err, re.MULTILINE)
    assert chart == f"experiments/{number}/runs?searchFilter={chosen}&compareRunsMode=CHART"
    query = parse_qs(compared.partition("?")[2])
    assert set(json.loads(query["runs"][0])) == {one.info.run_id for one in found}
    assert json.loads(query["experiments"][0]) == [number]


def test_summary_that_is_gone_meanwhile_costs_a_sentence(
    tiny: Tiny, run: Command, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(following, "replace_listed", gone)
    ended = run(*tracked(tiny))
    assert ended.status == 0
    assert f"warning: {store.root}/acc_auto/summary.json does not tell of MLflow (OSError(28" in ended.err


def test_environment_names_the_store(
    tiny: Tiny, run: Command, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.root / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by the environment")
    ended = run(*tiny.options(tracking="mlflow", paths__output=tmp_path / "elsewhere"))
    assert ended.status == 0
    assert 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"\n' in ended.err
    assert len(store.runs("by the environment")) == 1 and store.runs("quantization") == []
    assert not (tmp_path / "elsewhere" / "mlflow.db").exists()


def test_interrupted_job_is_a_killed_run(tiny: Tiny, store: RunStore, tmp_path: Path) -> None:
    running = _running(tiny, store, tmp_path)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in err
    assert _ended(store) == "KILLED"


def test_job_whose_process_is_killed_is_a_killed_run(tiny: Tiny, store: RunStore, tmp_path: Path) -> None:
    running = _running(tiny, store, tmp_path)
    running.kill()
    running.communicate(timeout=60)
    assert _ended(store) == "KILLED"


def _running(tiny: Tiny, store: RunStore, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a job that takes minutes, and wait until its run is there and under way."""
    line = [sys.executable, "-c", SLOW, *tracked(tiny)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(line, cwd=tmp_path, env=environment(), text=True, **pipes)
    while not store.runs():
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    (one,) = store.runs()
    assert one.info.status == "RUNNING"
    return running


def _ended(store: RunStore) -> str:
    """Wait until the only run is closed, and return its status."""
    for _ in range(300):
        (one,) = store.runs()
        if one.info.status != "RUNNING":
            break
        time.sleep(0.1)
    return str(one.info.status)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_models_on_demand_are_logged_models(
    tiny: Tiny, run: Command, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.onnx
    import mlflow.pyfunc
    import numpy as np
    from mlflow.exceptions import MlflowException

    assert run(*tracked(tiny, tracking__log_models="true")).status == 0
    (one,) = store.runs()
    models = {model.name: model for model in store.client.search_logged_models([one.info.experiment_id])}
    assert models.keys() == {"net_fake_quant_model", "net_deploy_model"}
    assert {model.source_run_id for model in models.values()} == {one.info.run_id}
    assert {model.status for model in models.values()} == {"READY"}
    runs = mlflow.pyfunc.load_model(models["net_fake_quant_model"].artifact_location)
    (given,) = runs.metadata.get_input_schema().inputs
    assert (given.type, given.shape[1:]) == (np.dtype("float32"), (2, 6, 6))
    (answers,) = runs.predict(tiny.x[:1]).values()
    assert answers.shape == (1, 5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.root / 'mlflow.db'}")
    by_number = mlflow.pyfunc.load_model(f"models:/{models['net_fake_quant_model'].model_id}")
    np.testing.assert_array_equal(next(iter(by_number.predict(tiny.x[:1]).values())), answers)
    deploy = models["net_deploy_model"].artifact_location
    read = mlflow.models.Model.load(deploy.removeprefix("file://"))
    assert read.flavors["ascend"]["data"] == "net_deploy_model.onnx" and read.signature is not None
    # Nothing here runs the chip's operators, and nothing says that it does.
    with pytest.raises(MlflowException, match="python_function"):
        mlflow.pyfunc.load_model(deploy)


def test_tracking_none_does_not_import_mlflow_nor_start_a_process(tiny: Tiny, tmp_path: Path) -> None:
    ended = command(*tiny.options(), cwd=tmp_path, python=["-X", "importtime"])
    assert ended.status == 0
    imported = {name.partition(".")[0] for name in re.findall(r"\| +(\S+)$", ended.err, re.MULTILINE)}
    assert "onnxruntime" in imported
    assert "mlflow" not in imported
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def test_job_itself_does_not_import_mlflow(tiny: Tiny, store: RunStore, tmp_path: Path) -> None:
    ended = command(*tracked(tiny), cwd=tmp_path, python=["-X", "importtime"])
    assert ended.status == 0 and len(store.runs()) == 1
    imported = {name.partition(".")[0] for name in re.findall(r"\| +(\S+)$", ended.err, re.MULTILINE)}
    assert "onnxruntime" in imported and "mlflow" not in imported
