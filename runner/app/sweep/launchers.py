"""What Hydra's launchers need beside their own options, and how they are installed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

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
    # As submitit's own ``cancel`` does with jobs on this machine; those of Slurm are ended by Slurm.
    _signal_submitit(signal.SIGINT)


def kill_launched() -> None:
    """End what did not hear: a process that was about to begin a job. What is written is whole, so nothing is lost."""
    _signal_submitit(getattr(signal, "SIGKILL", signal.SIGTERM))


def _signal_submitit(number: signal.Signals) -> None:
    for process in _descendants(os.getpid()) if "submitit" in sys.modules else []:
        if b"submitit" in _command_line(process):
            with contextlib.suppress(OSError):
                os.kill(process, number)


def _descendants(process: int) -> list[int]:
    """Return the processes that a process started, and those that they did; none where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name stands in parentheses and may hold anything; behind it come the state and the parent.
            parent = int((entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [process]
    while left:
        new = children.get(left.pop(), [])
        found += new
        left += new
    return found


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def ready_launcher(config: DictConfig) -> None:
    """Set what a launcher needs where its user has not.

    Args:
        config: of the sweep, with its ``hydra`` section.

    Raises:
        ConfigError: nothing answers at the address of a cluster; Ray itself would ask for ever.
    """
    if config.hydra.launcher._target_ != BASIC:
        _keep_to_libraries()
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


def _keep_to_libraries() -> None:
    """Have the processes of a launcher find this package, and not look for libraries in the directory of the command first."""
    os.environ["PYTHONSAFEPATH"] = "1"
    package = str(Path(__file__).resolve().parents[3])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if package not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (package, *paths)))


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
