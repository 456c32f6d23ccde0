"""Jobs on one machine know how many they are, also when one of them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runner.app.live_jobs import counted_as_live, counted_lately, default_folder
from tests.command import environment

HOLDING = """
import sys
from pathlib import Path
from runner.app.live_jobs import counted_as_live
with counted_as_live(Path(sys.argv[1])) as live:
    print(live(), flush=True)
    sys.stdin.read()
"""


def left(folder: Path) -> list[str]:
    """Return the files of jobs in a folder."""
    return [path.name for path in folder.iterdir() if path.name != ".lock"]


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
    assert left(folder) == []


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
    assert left(tmp_path) == []


def test_users_do_not_share_a_folder() -> None:
    folder = default_folder()
    assert folder is not None and folder.name == f"quant-runner-{os.getuid()}"


def test_where_no_temporary_file_can_be_made_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert default_folder() is None
    with counted_as_live(None) as live:
        assert live() == 1


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "quant-runner-0").symlink_to("theirs")
    with caplog.at_level("INFO"), counted_as_live(tmp_path / "quant-runner-0") as live:
        assert live() == 1 and list((tmp_path / "theirs").iterdir()) == []
    assert "quant-runner-0 is no folder" in caplog.text


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    folder.chmod(mode)
    with counted_as_live(folder) as live:
        assert live() == 1 and list(folder.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with counted_as_live(folder) as live:
        assert live() == 1 and list(folder.iterdir()) == []


def test_who_asks_often_is_told_what_was_counted_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, clock = iter([1, 2, 3]), iter([0.0, 0.5, 0.9, 1.5])
    monkeypatch.setattr("runner.app.live_jobs.time.monotonic", lambda: next(clock))
    lately = counted_lately(lambda: next(counts))
    assert [lately() for _ in range(4)] == [1, 1, 1, 2]
