"""One process at a time in a folder, however the first one ends."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.app.held_folder import HOLDER, HeldError, held, holder_of, is_held
from runner.errors import OutputError
from tests.command import environment

HOLDING = """
import sys
from pathlib import Path
from runner.app.held_folder import held
with held(Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""


def other(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds a folder."""
    line = [sys.executable, "-c", HOLDING, str(folder)]
    process = subprocess.Popen(line, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_second_is_told_who_is_there_and_since_when_and_touches_nothing(tmp_path: Path) -> None:
    before = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    first = other(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(HeldError) as caught, held(tmp_path, "Wait."):
        pass
    said = str(caught.value)
    match = re.fullmatch(
        r"(.+): a job writes there at this moment \(process (\d+) on (\S+), since (.{19})\)\. Wait\.", said
    )
    assert match is not None, said
    assert (match[1], int(match[2]), match[3]) == (str(tmp_path), first.pid, socket.gethostname())
    assert before <= match[4]
    assert sorted(path.name for path in tmp_path.iterdir()) == found
    assert is_held(tmp_path)
    first.communicate("")


def test_folder_is_free_after_its_holder_ended_or_was_killed(tmp_path: Path) -> None:
    other(tmp_path).communicate("")
    killed = other(tmp_path)
    killed.kill()
    killed.communicate()
    assert not is_held(tmp_path)
    with held(tmp_path, ""):
        holder = holder_of(tmp_path)
        assert holder is not None and holder.process == os.getpid()
        assert is_held(tmp_path)
    assert not (tmp_path / HOLDER).exists() and not is_held(tmp_path)


def test_holder_that_has_not_said_who_it_is_is_another_process(tmp_path: Path) -> None:
    with held(tmp_path, ""):
        (tmp_path / HOLDER).write_text("{")
        with pytest.raises(HeldError, match=r"at this moment \(another process\)"), held(tmp_path, ""):
            pass


def test_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"paths\.output: .*file/job cannot be written"),
        held(tmp_path / "file" / "job", ""),
    ):
        pass


def test_folder_without_a_lock_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
