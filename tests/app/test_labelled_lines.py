"""Lines of jobs side by side: whole, and with the job's name."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from runner.app.labelled_lines import LabelledLines, labelled_lines


def test_lines_are_whole_and_behind_the_label(capsys: pytest.CaptureFixture[str]) -> None:
    with labelled_lines("0_seed=1"):
        print("one\n\ntwo", end="")
        print(" and more")
        print("no end", end="", file=sys.stderr)
    assert capsys.readouterr() == ("[0_seed=1] one\n\n[0_seed=1] two and more\n", "[0_seed=1] no end\n")


def test_each_write_to_the_stream_behind_is_of_whole_lines() -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    writes: list[str] = []
    lines = LabelledLines(Stream(), "a")
    for piece in ("be", "gun\nand ", "so\non", "\n"):
        lines.write(piece)
    assert writes == ["[a] begun\n", "[a] and so\n", "[a] on\n"]


def test_it_is_no_terminal_so_no_bars_are_drawn() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert not Console(file=LabelledLines(Terminal(), "a")).is_terminal  # type: ignore[arg-type]


def test_long_label_is_cut() -> None:
    stream = io.StringIO()
    LabelledLines(stream, "a" * 60).write("x\n")
    assert stream.getvalue() == f"[{'a' * 31}…] x\n"
