"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no failure because another process was busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).resolve().parent.parent
ZOO = Path(os.environ.get("RUNNER_ZOO", ROOT.parent / "shared" / "zoo"))


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
