"""What launchers need beside their own options."""

from __future__ import annotations

import socket

import pytest
from omegaconf import DictConfig, OmegaConf

from runner.app.sweep.launchers import BASIC, ready_launcher
from runner.errors import ConfigError

RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


def config(target: str, **init: object) -> DictConfig:
    return OmegaConf.create({"hydra": {"launcher": {"_target_": target, "ray": {"init": init, "remote": {}}}}})


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_DEDUP_LOGS", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "set")


def test_cluster_that_runs_is_asked_for_no_size_of_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        joining = config(RAY, address=address)
        ready_launcher(joining)
    assert joining.hydra.launcher.ray.init == {"address": address, "object_store_memory": None}


@pytest.mark.parametrize("address", [None, "local"])
def test_ray_of_the_sweeps_own_is_left_as_it_is(address: str | None) -> None:
    own = config(RAY, address=address)
    ready_launcher(own)
    assert own == config(RAY, address=address)


def test_cluster_that_does_not_answer_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    says = (
        rf"no Ray cluster answers at 127\.0\.0\.1:{port} \(.*\)\. Start one with `ray start --head --port={port}`, or"
    )
    with pytest.raises(ConfigError, match=says):
        ready_launcher(config(RAY, address=f"127.0.0.1:{port}"))


def test_other_launchers_are_left_as_they_are() -> None:
    other = config(BASIC, address="127.0.0.1:1")
    ready_launcher(other)
    assert other == config(BASIC, address="127.0.0.1:1")
