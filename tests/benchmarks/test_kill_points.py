"""Killed before any change that it makes, a job leaves a true manifest, and the next one nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.command import ROOT, environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_folder_is_sound_wherever_its_job_is_killed() -> None:
    # In a process of its own, since one that has threads had better not fork.
    line = [sys.executable, "-m", "benchmarks.kill_points", "--case", "folder", "--case", "failing"]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    first, second = done.stdout.splitlines()
    assert first.startswith("folder: ") and second.startswith("failing: ")
    for told in (first, second):
        sound, _, points = told.partition(": ")[2].partition(" kill")[0].split()
        assert sound == points and int(points) > 40
