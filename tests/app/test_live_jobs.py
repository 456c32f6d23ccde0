"""Jobs on one machine know how many they are, also when one of them is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.app.live_jobs import counted_as_live, default_folder
from tests.command import environment

HOLDING = """
import sys
from pathlib import Path
from runner.app.live_jobs import counted_as_live
with counted_as_live(Path(sys.argv[1])) as live:
    print(live(), flush=True)
    sys.stdin.read()
"""


def other(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a process that counts as a job, and return it with how many it sees."""
    line = [sys.executable, "-c", HOLDING, str(folder)]
    process = subprocess.Popen(line, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_jobs_of_other_processes_count_until_they_end_or_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    with counted_as_live(folder) as live:
        assert live() == 1
        first, seen = other(folder)
        second, seen_later = other(folder)
        assert (seen, seen_later, live()) == (2, 3, 3)
        second.kill()
        second.communicate()
        assert live() == 2
        first.communicate("")
        assert live() == 1
    assert list(folder.iterdir()) == []


def test_jobs_in_one_process_count_each(tmp_path: Path) -> None:
    with counted_as_live(tmp_path) as one:
        with counted_as_live(tmp_path) as two:
            assert (one(), two()) == (2, 2)
        assert one() == 1


def test_where_nothing_can_be_written_a_job_counts_itself_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with counted_as_live(tmp_path / "file" / "jobs") as live:
        assert live() == 1


def test_a_job_that_fails_is_counted_no_longer(tmp_path: Path) -> None:
    def failing() -> None:
        with counted_as_live(tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert list(tmp_path.iterdir()) == []


def test_users_do_not_share_a_folder() -> None:
    assert default_folder().name.startswith("quant-runner-")
