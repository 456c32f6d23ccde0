"""Gives inputs to a child process and watches how long it takes and how much memory it has."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from benchmarks.fuzz.outcome import CRASH, HANG, MEMORY, Outcome

SECONDS, GIGABYTES = 60.0, 2.0
_ROOT = Path(__file__).resolve().parent.parent.parent
_LOOK_SECONDS = 0.05


def outcomes(subject: str, numbers: Iterable[int], seed: int = 0) -> Iterator[Outcome]:
    """Yield how each input of a subject ends; a child that hangs, grows or dies is replaced.

    Args:
        subject: its name.
        numbers: of the inputs.
        seed: of all of them.
    """
    child: _Child | None = None
    try:
        for number in numbers:
            child = child or _Child(subject, seed)
            outcome = child.outcome(number)
            yield outcome
            if outcome.kind in (HANG, MEMORY, CRASH):
                child.end()
                child = None
    finally:
        if child is not None:
            child.end()


class _Child:
    def __init__(self, subject: str, seed: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        line = [sys.executable, "-m", "benchmarks.fuzz.child", subject, self._folder.name, str(seed)]
        environment = os.environ | {"PYTHONPATH": str(_ROOT), "TMPDIR": self._folder.name}
        self._process = subprocess.Popen(
            line, cwd=self._folder.name, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def outcome(self, number: int) -> Outcome:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{number}\n")
            self._process.stdin.flush()
        except OSError:
            return Outcome(number, CRASH, self._last_words())
        begin = time.monotonic()
        while time.monotonic() < begin + SECONDS:
            try:
                line = self._lines.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self._gigabytes() > GIGABYTES:
                    return Outcome(number, MEMORY, f"more than {GIGABYTES:g} GB")
                continue
            return Outcome(**json.loads(line)) if line else Outcome(number, CRASH, self._last_words())
        return Outcome(number, HANG, f"longer than {SECONDS:g} s")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._folder.cleanup()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        return f"exit status {status}: {self._errors.read().decode('utf-8', 'replace')[-3000:]}"

    def _gigabytes(self) -> float:
        """Return what the child has in memory; 0 where the system does not tell it as Linux does."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError, ValueError):
            return 0.0
        return pages * os.sysconf("SC_PAGESIZE") / 1e9
