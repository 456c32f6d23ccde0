"""What a job needs beside its model and data: room, a folder, a place for its runs, what is to be fetched."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from runner.app.doctor.case import JobCase
from runner.app.doctor.compose import Composed
from runner.app.doctor.surroundings import look_at_engine
from runner.app.held_folder import held
from runner.engine import Engine
from runner.modes.doctor.finding import Finding
from tests.app.conftest import Command, Tiny


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def told(out: str) -> str:
    return " ".join(out.split())


def test_a_full_disk_is_a_fault_before_the_work(
    run: Command, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 10**6, 10**6))
    ended = run("doctor", *tiny.options())
    assert f"paths.output: 1 MB are free at {tmp_path}, and the job writes about 20 MB." in told(ended.out)
    assert "Free some, or set paths.output to a folder elsewhere." in told(ended.out)
    assert ended.status == 2
    plain = run(*tiny.options())
    assert f"error: paths.output: 1.0 MB are free at {tmp_path}" in plain.err
    assert "expected 20 MB, which a small job writes. Free some, or set paths.output" in plain.err
    assert plain.status == 2
    assert "load the model" not in plain.err


def test_room_for_the_job_but_not_for_what_it_may_keep_is_a_warning(
    run: Command, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 20_010_000, 20_010_000))
    ended = run("doctor", *tiny.options())
    assert "cache.max_gb: 0.02 GB are free" in told(ended.out)
    assert ended.status == 0
    assert "cache.max_gb" not in run("doctor", *tiny.options(cache="none")).out


def test_a_folder_in_which_a_job_runs_is_left_alone(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "acc_auto"
    with held(folder, ""):
        before = sorted(path.name for path in folder.iterdir())
        ended = run("doctor", *tiny.options())
        assert f"paths.job: a job writes to {folder} at this moment (process " in told(ended.out)
        assert "Wait for it, or set paths.job=NAME." in told(ended.out)
        assert sorted(path.name for path in folder.iterdir()) == before
    assert ended.status == 0


def test_a_port_that_answers_is_told_as_one(run: Command, tiny: Tiny) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        ended = run("doctor", *tiny.options(tracking="mlflow", tracking__uri=uri))
    assert f"{uri} answers" in told(ended.out)


@pytest.mark.parametrize("scheme", ["sqlite:///", "file://"])
def test_a_store_in_a_file_that_cannot_be_written_is_a_warning(
    scheme: str, run: Command, tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    ended = run("doctor", *tiny.options(tracking="mlflow", tracking__uri=f"{scheme}{tmp_path}/file/runs"))
    assert f"tracking.uri: {tmp_path}/file cannot be written, so the run would not be in MLflow." in told(ended.out)
    assert ended.status == 0


def test_what_is_missing_and_has_an_address_is_told_and_not_fetched(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    at_hand = {"model__path": "net.onnx", "model__url": "http://127.0.0.1:9/net.onnx"}
    options = [option.replace("model.url=", "+model.url=") for option in tiny.options(**at_hand)]
    ended = run("doctor", *options)
    assert "model.path: net.onnx is not there; a job fetches it from http://127.0.0.1:9/net.onnx." in told(ended.out)
    never = run("doctor", *options, "download=never")
    assert "model.path: net.onnx does not exist, and download=never fetches nothing." in told(never.out)
    assert not list(tmp_path.iterdir())


def test_the_job_itself_tells_all_that_is_wrong_with_its_options_and_files_at_once(
    run: Command, tiny: Tiny, tmp_path: Path
) -> None:
    ended = run(*tiny.options(model__path="absent.onnx", dataset__path="absent.npz", seed="x", verify__count=0))
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert [line.split()[1] for line in errors] == ["dataset.path:", "verify.count:", "seed:", "model.path:"]
    assert ended.status == 2


def test_a_file_cannot_ask_for_a_look_for_a_job_has_its_folder_by_then(
    run: Command, tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "look.yaml").write_text("# @package _global_\ndoctor: true\n", encoding="utf-8")
    ended = run("--config-dir", "conf", "+experiment=look", *tiny.options())
    assert "doctor: a job is looked at by its command line" in ended.err
    assert "Type python -m runner doctor" in ended.err
    assert ended.status == 2


OWN = """
import numpy as np
from runner.dataset.item import Item, ONLY_INPUT, digest

class Noise:
    def __init__(self, items: int = 12): self.items = items
    def __len__(self): return self.items
    def item(self, index):
        if index == self.items - 1: raise ValueError("no such sensor")
        return Item({ONLY_INPUT: np.full((2, 6, 6), index, np.float32)}, index % 5)
    def label(self, index): return index % 5
    def name(self, index): return f"sensor {index}"
    def fingerprint(self, index): return digest(bytes([index]))
    def describe(self): return "noise"
"""


def test_a_class_of_ones_own_is_looked_at_and_its_fault_hides_no_other(
    run: Command, tiny: Tiny, tmp_path: Path
) -> None:
    (tmp_path / "sensors_of_mine.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    (tmp_path / "conf" / "dataset" / "noise.yaml").write_text("_target_: sensors_of_mine.Noise\n", encoding="utf-8")
    options = [*tiny.options(dataset="noise", dataset__path=None), "--config-dir", "conf", "skip_layers=[none]"]
    ended = run("doctor", *options)
    assert "12 of 12 items of noise to evaluate on, 6 to calibrate" in told(ended.out)
    assert "ValueError: no such sensor" in told(ended.out)
    assert "skip_layers: Layer none does not exist in the graph." in told(ended.out)
    assert " 2 faults, " in told(ended.out)


def test_options_of_another_mode_and_convert_qat_are_looked_at(run: Command, tmp_path: Path) -> None:
    ended = run("doctor", "mode=convert_qat", "tracking=none", "target=qdq", "image=9999", "target_loss=3")
    assert "target_loss: no such option of mode=convert_qat." in told(ended.out)
    assert "image: expected an item number from 0 to 699, or a name, got 9999." in told(ended.out)
    assert "26 of 26 are quantized in the source: 25 Conv, 1 Gemm" in told(ended.out)
    assert "2 faults, " in told(ended.out)
    assert not list(tmp_path.iterdir())


def of_launcher(kind: str) -> list[Finding]:
    case = JobCase(Composed("", {}, Path(), f"hydra_plugins.absent_launcher.{kind}"), Engine(1), {})
    case.sections = {}
    return list(look_at_engine(case))


def test_slurm_without_sbatch_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    (found,) = of_launcher("SlurmLauncher")
    assert (found.level, found.key) == ("fault", "hydra/launcher")
    assert found.said == (
        "hydra/launcher=submitit_slurm: there is no sbatch on this machine, so no job can be handed to Slurm. Run the command "
        "where sbatch is, or set hydra/launcher=submitit_local."
    )
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    assert of_launcher("SlurmLauncher")[0].what == "jobs are started by submitit_slurm"


def test_each_job_of_a_sweep_has_its_folder_from_the_sweep(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    ended = run("doctor", "-m", *tiny.options(target_loss="80,90"), "paths.job=mine")
    assert "paths.job: each job of a sweep has a folder of its own; sweep.name=NAME names that of the" in told(
        ended.out
    )
    assert ended.status == 2
    named = run("doctor", "-m", *tiny.options(target_loss="80,90"), "sweep.name=mine")
    assert f"folder {tmp_path}/outputs/sweeps/mine" in told(named.out)
    assert named.out.count("folder") == 1
