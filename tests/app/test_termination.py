"""SIGTERM, as a signal and as what a library makes of it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from runner.app.termination import terminated_as_interrupted


def test_signal_interrupts_and_the_handler_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) is before


def test_library_that_leaves_on_the_signal_interrupts_too() -> None:
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()


@pytest.mark.parametrize("status", [0, 2, None, "text"])
def test_other_ways_to_leave_are_left_alone(status: object) -> None:
    with pytest.raises(SystemExit) as left, terminated_as_interrupted():
        sys.exit(status)  # type: ignore[arg-type]
    assert left.value.code == status
