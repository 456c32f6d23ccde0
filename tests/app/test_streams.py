"""Whoever reads what a command says may leave, or be full: what the command is about is done, and its status says so."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.app import telling
from runner.app.journal import Journal
from runner.app.leaving import leave
from runner.app.logs import job_log
from runner.app.streams import Lasting
from runner.app.telling import fault, tell
from runner.errors import ConfigError, OutputError
from runner.events import Warned
from tests.app.conftest import Command, Tiny
from tests.command import environment

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which ``$R`` is the command line."""
    more = {"R": f"{sys.executable} -m runner", "P": sys.executable}
    return subprocess.run(["bash", "-c", line], cwd=cwd, env=environment(**more), capture_output=True, timeout=120)


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("set -o pipefail; $R --cfg job | head -1", 0, b""),
        ("$R --cfg job >&-", 0, b""),
        pytest.param(
            "$R --cfg job >/dev/full", 2, b"error: standard output cannot be written: No space left", marks=needs_full
        ),
        pytest.param(
            "$R doctor seed=x >/dev/full",
            2,
            b"error: standard output cannot be written: No space left",
            marks=needs_full,
        ),
        pytest.param(
            "$R doctor evaluation.count=64 >/dev/full",
            2,
            b"error: standard output cannot be written: No space left",
            marks=needs_full,
        ),
        ("$R seed 1 <&- >&- 2>&-", 2, b""),
        pytest.param("$R seed 1 2>/dev/full", 2, b"", marks=needs_full),
        (
            "mkdir gone && cd gone && rmdir ../gone && $R --cfg job",
            1,
            b"error: the directory of the command cannot be used",
        ),
        ("$P -m runner.app.check_deploy /nosuch.onnx >&-", 2, b"/nosuch.onnx"),
        ("LC_ALL=C PYTHONIOENCODING=ascii $R model.path=模型 --cfg job -p model.path", 0, b""),
    ],
)
def test_reader_that_leaves_costs_nothing_but_its_lines(line: str, status: int, says: bytes, tmp_path: Path) -> None:
    ended = shell(line, tmp_path)
    assert ended.returncode == status, ended.stderr
    assert says in ended.stderr
    assert b"Traceback" not in ended.stderr and b"Exception ignored" not in ended.stderr
    assert ended.stderr.count(b"\n") <= 1


@needs_full
def test_job_keeps_its_result_and_status_where_nobody_reads_it(tiny: Tiny, tmp_path: Path) -> None:
    ended = shell(f"$R {' '.join(tiny.options())} > /dev/full", tmp_path)
    assert ended.returncode == 0
    assert b"warning: standard output cannot be written: No space left on device." in ended.stderr
    assert (tmp_path / "outputs" / "acc_auto" / "summary.json").is_file()


def test_bytes_that_are_not_taken_are_dropped_and_the_reason_is_kept() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = Lasting(writer, "w")
    assert [stream.write(b"abc"), stream.write(b"de")] == [3, 2]
    assert stream.reason is not None and stream.reason.errno == errno.EPIPE
    stream.close()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "/x: No space left on device: the disk is full."),
        (OSError(errno.EMFILE, "Too many open files"), "Raise it: ulimit -n 1024."),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "Set paths.output to a folder that can be written."),
        (MemoryError(), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no thread could be started"),
        (UnicodeEncodeError("ascii", "模", 0, 1, "ordinal not in range"), "Set LC_ALL=C.UTF-8 or PYTHONUTF8=1"),
        (ConfigError("seed: wrong."), "seed: wrong."),
    ],
)
def test_fault_of_the_machine_is_one_sentence_and_wrong_input(
    error: Exception, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    with pytest.raises(SystemExit) as left:
        leave(command)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert says in told and told.startswith("error: ") and told.count("\n") == 1


def test_fault_of_the_program_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise ValueError("\x1b[2J")

    with pytest.raises(SystemExit) as left:
        leave(command)
    told = capsys.readouterr().err
    assert left.value.code == 1 and fault(ValueError()) is None
    assert told.startswith("error: internal fault: ValueError: \\x1b[2J\nTraceback") and "\x1b" not in told


def full(*arguments: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


FULL_STREAM: Any = type("Full", (), {"write": full, "flush": full, "close": lambda stream: None})()


def test_journal_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.close()
    monkeypatch.setattr(journal, "_stream", FULL_STREAM)
    with pytest.raises(OutputError, match=r"events.jsonl cannot be written: No space left on device"):
        journal(Warned("x"))


def test_log_that_takes_no_line_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with job_log(tmp_path):
        handler = logging.getLogger("runner").handlers[-1]
        assert isinstance(handler, logging.FileHandler)
        handler.stream.close()
        handler.stream = FULL_STREAM
        logging.getLogger("runner").info("lost")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("where", ["acc_auto/amct_log", "acc_auto/results", "acc_auto/.hydra"])
def test_job_whose_folder_cannot_take_its_files_ends_in_a_sentence(
    where: str, tiny: Tiny, run: Command, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "outputs" / where
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("")
    ended = run(*tiny.options())
    assert ended.status == 2, ended.err
    assert "Traceback" not in ended.err and ended.err.count("error: ") == 1
    assert str(in_the_way) in ended.err


def test_message_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    tell("a\nb\x1b[2J\u202e")
    assert capsys.readouterr().err == "error: a\\nb\\x1b[2J\\u202e\n"
    assert telling.fault(KeyboardInterrupt()) is None
    tell("http://me:secret@host/x: refused")
    assert "secret" not in capsys.readouterr().err
