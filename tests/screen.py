"""A command on a terminal of some columns, and what its screen shows: at the end, and at any time before."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, field
from pathlib import Path

from rich.cells import cell_len

from tests.command import environment

_PIECES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)|([\r\n])|([^\x1b\r\n]+)")


@dataclass
class Screen:
    """Lines as a terminal would show them, each as long as what was printed: nothing is broken at its edge.

    Attributes:
        lines: from the first one on.
        ever: every text that a line had when the cursor left it, or when it was erased.
        colours: whether any was set.
    """

    lines: list[str] = field(default_factory=lambda: [""])
    ever: list[str] = field(default_factory=list)
    colours: bool = False
    _row: int = 0
    _column: int = 0

    def feed(self, text: str) -> Screen:
        """Take in what was written."""
        for found in _PIECES.finditer(text):
            numbers, command, move, plain = found.groups()
            if command is not None:
                self._steer(numbers, command)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._leave(self._row + 1)
                self._column = 0
            elif plain is not None:
                line = self.lines[self._row]
                end = self._column + len(plain)
                self.lines[self._row] = line[: self._column].ljust(self._column) + plain + line[end:]
                self._column = end
        return self

    def _steer(self, numbers: str, command: str) -> None:
        count = int(numbers) if numbers.isdecimal() else 1
        if command == "m":
            self.colours = self.colours or any(int(n or 0) >= 30 for n in numbers.split(";"))
        elif command == "A":
            self._leave(self._row - count)
        elif command == "K":
            self.ever.append(self.lines[self._row])
            self.lines[self._row] = ""
        elif command not in "hl":
            raise AssertionError(f"an unknown sequence: {command}")

    def _leave(self, row: int) -> None:
        self.ever.append(self.lines[self._row])
        self._row = max(0, row)
        while len(self.lines) <= self._row:
            self.lines.append("")

    @property
    def text(self) -> list[str]:
        """What is left in the end, without empty lines below."""
        left = [line.rstrip() for line in self.lines]
        while left and not left[-1]:
            left.pop()
        return left


def on_terminal(*arguments: str, cwd: Path, columns: int = 80, **more: str) -> tuple[int, Screen]:
    """Run ``python -m runner`` on a terminal and return its exit status and the screen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    plain = {"TERM": "xterm-256color", **more}
    environ = {key: value for key, value in environment(**plain).items() if key not in ("COLUMNS", "LINES")}
    line = [sys.executable, "-m", "runner", *arguments]
    process = subprocess.Popen(line, cwd=cwd, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            more_said = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not more_said:
            break
        said += more_said
    os.close(ours)
    return process.wait(), Screen().feed(said.decode())


def too_wide(lines: list[str], columns: int = 80) -> list[str]:
    """Return the lines that are wider, but for commands to copy, and paths and addresses, which are not broken."""
    return [line for line in lines if cell_len(line) > columns and not re.match(r"(  )?(.{13})?\S*[/:]\S+$|  \S", line)]
