"""What Hydra's launchers need beside their own options, and how they are installed."""

from __future__ import annotations

import os
import socket
import sys

from omegaconf import DictConfig, OmegaConf, open_dict

from runner.errors import ConfigError

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
# Which extra of this package brings a launcher.
EXTRAS = {"joblib": "parallel", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
_ANSWER_SECONDS = 5
_RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


def stop_launched() -> None:
    """End what an interrupted launcher left at work; a cluster ends a command's jobs with its connection."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()


def ready_launcher(config: DictConfig) -> None:
    """Set what a launcher needs where its user has not.

    Args:
        config: of the sweep, with its ``hydra`` section.

    Raises:
        ConfigError: nothing answers at the address of a cluster; Ray itself would ask for ever.
    """
    if config.hydra.launcher._target_ != _RAY:
        return
    # Ray shows of lines that differ in numbers alone the first one, and reports how it is used.
    for name, value in (("RAY_DEDUP_LOGS", "0"), ("RAY_USAGE_STATS_ENABLED", "0")):
        os.environ.setdefault(name, value)
    address = OmegaConf.select(config, "hydra.launcher.ray.init.address")
    if address not in (None, "local"):
        _require_answer(str(address))
        # The launcher asks for a size of memory, which Ray refuses on a cluster that runs already.
        with open_dict(config.hydra.launcher.ray.init):
            config.hydra.launcher.ray.init.setdefault("object_store_memory", None)


def _require_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto", "ray://…": Ray's to understand
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"hydra.launcher.ray.init.address: no Ray cluster answers at {address} ({error}). Start one with `ray start --head "
            f"--port={port}`, or set the address to local."
        ) from error
