"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from runner import integer_kernels
from tests.kept_job import KeptJob, kept_job

# The same examples in every run, and no failure because another process was busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C, and that is inherited; jobs that tests interrupt must heed it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
ZOO = Path(os.environ.get("RUNNER_ZOO", ROOT.parent / "shared" / "zoo"))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Thousands of files are written that nobody keeps: none has to survive a power failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def zoo() -> Path:
    """The zoo of real models and data; the test is skipped where it is absent."""
    if not (ZOO / "models").is_dir():
        pytest.skip(f"the zoo of real models is not at {ZOO}; set RUNNER_ZOO to its folder")
    return ZOO


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(params=["float kernels", "integer kernels"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Sum layers by float or by fast integer kernels in the runner's own sessions, whatever this machine would choose."""
    integers = request.param == "integer kernels"
    if integers and not integer_kernels.are_exact():
        pytest.skip("onnxruntime's integer kernels saturate on this CPU, so nothing uses them")
    monkeypatch.setattr(integer_kernels, "are_exact", lambda: integers)
    return str(request.param)


@pytest.fixture(scope="session")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> KeptJob:
    return kept_job(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def kept(_kept: KeptJob, tmp_path: Path) -> KeptJob:
    """A job that kept what flows through it, in a copy that may be spoilt."""
    return _kept.copied(tmp_path / "job")
