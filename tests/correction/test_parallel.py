"""Work in threads: its order, and its end where something fails."""

from __future__ import annotations

import threading
import time

import pytest

from runner.correction.parallel import both, each_of


@pytest.mark.parametrize("callers", [1, 2, 5])
def test_results_come_in_the_order_of_the_arguments(callers: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert each_of(work, (number for number in range(20)), callers) == [number * number for number in range(20)]
    assert each_of(work, [], callers) == []


def test_as_many_work_side_by_side_as_there_are_callers() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def work(place: int) -> None:
        if place == 0:  # is done alone, and says that the others take their time
            time.sleep(0.01)
        else:
            meeting.wait()

    each_of(work, range(7), 3)


def test_work_that_takes_no_time_is_done_by_the_calling_thread() -> None:
    threads = each_of(lambda _: threading.get_ident(), range(50), 3)
    assert set(threads) == {threading.get_ident()}


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


@pytest.mark.parametrize("callers", [1, 2])
def test_two_pieces_of_work_give_both_results_and_the_error_of_either(callers: int) -> None:
    def broken() -> int:
        raise ValueError("broken")

    assert both(lambda: 1, lambda: "two", callers) == (1, "two")
    for work in ((broken, lambda: 2), (lambda: 1, broken)):
        with pytest.raises(ValueError, match="broken"):
            both(*work, callers)


def test_work_inside_of_work_waits_for_nobody() -> None:
    def inner(_: int) -> int:
        return sum(each_of(lambda number: number, range(50), 3))

    assert each_of(inner, range(40), 3) == [1225] * 40
    assert both(lambda: inner(0), lambda: inner(0), 2) == (1225, 1225)
