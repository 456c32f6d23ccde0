"""Every task in both modes: workers that build their data from the configuration leave the files of one machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from runner.app.engines import Surroundings, evaluation_data
from runner.app.job import _finished
from runner.app.parsing import deciding, parse_job
from runner.app.places import register_resolvers, shipped
from runner.distributed.engine import DistributedEngine
from runner.engine import Engine
from runner.events import ignore
from runner.store.store import Store
from tests.command import digests
from tests.distributed.threads import Threads, dies
from tests.models import save
from tests.tasks.task_cases import CASES, quantization_aware


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> dict[str, Any]:
    register_resolvers()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.mark.parametrize("mode", ["acc_auto", "convert_qat"])
@pytest.mark.parametrize("name", CASES)
def test_files_are_those_of_one_machine(name: str, mode: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = case.graph()
    options = case.truth(tmp_path, model)
    path = save(quantization_aware(model, tmp_path) if mode == "convert_qat" else model, tmp_path / "net.onnx")
    search = ["quant=fast", "target_loss=0.001", "sensitivity=end_to_end"] if mode == "acc_auto" else []
    config = composed(f"mode={mode}", "model=file", f"model.path={path}", *options, *search)
    around = Surroundings(str(Path.cwd()), (), str(tmp_path / "cache"), 10**9)
    warned: list[str] = []

    def run(folder: str, engine: Engine, job: Any, store: Store | None) -> dict[str, str]:
        _finished(job, deciding(job), tmp_path / folder, engine, store, ignore)
        return digests(tmp_path / folder)

    here = run("here", Engine(2), parse_job(config), None)
    job, store = parse_job(config), Store(tmp_path / "cache", 10**9)
    cluster = Threads(functools.partial(evaluation_data, config, around), ["one", "two"], dies(2))
    spread = run("there", DistributedEngine(cluster, job.dataset, store, warn=warned.append, shard=3), job, store)
    assert spread == here
    assert len(cluster.did) >= 2 * 8 and all("died" in message for message in warned) and len(warned) == 1
