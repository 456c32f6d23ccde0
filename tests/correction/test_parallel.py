"""Work in threads: its order, and its end where something fails."""

from __future__ import annotations

import threading
import time

import pytest

from runner.correction.parallel import each_of


@pytest.mark.parametrize("callers", [1, 2, 5])
def test_results_come_in_the_order_of_the_arguments(callers: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert each_of(work, (number for number in range(20)), callers) == [number * number for number in range(20)]
    assert each_of(work, [], callers) == []


def test_as_many_work_side_by_side_as_there_are_callers() -> None:
    meeting = threading.Barrier(3, timeout=10)
    each_of(lambda _: meeting.wait(), range(6), 3)


@pytest.mark.parametrize("callers", [1, 3])
def test_an_error_ends_the_work(callers: int) -> None:
    done = []

    def work(number: int) -> None:
        if number == 4:
            raise ValueError("the fifth")
        time.sleep(0.001)
        done.append(number)

    with pytest.raises(ValueError, match="the fifth"):
        each_of(work, range(1000), callers)
    assert len(done) < 100
