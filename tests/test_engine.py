"""The engine: order, early stop, exceptions, and what is timed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.dataset.item import Item
from runner.dataset.subset import Subset
from runner.engine import Engine, available_cores, fastest_callers, round_seconds
from runner.errors import DatasetError, ModelError
from runner.session import InputSpec, Session
from tests.data import Items, normal_items
from tests.models import conv_gemm, prepared, run_plain


class Echo:
    """Stands in for a session: gives back its input, later items sooner."""

    inputs = (InputSpec("x", (None, 1), np.dtype(np.float32)),)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.running = self.most = 0

    def run(self, feeds: dict[str, NDArray], outputs: object = None) -> list[NDArray]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds * (1 + int(feeds["x"][0, 0]) % 3))
        with self.lock:
            self.running -= 1
        return [feeds["x"]]


def numbers(count: int) -> Items:
    return Items(np.arange(count, dtype=np.float32).reshape(count, 1))


def first_value(index: int, arrays: list[NDArray]) -> tuple[int, float]:
    return index, float(arrays[0][0, 0])


@pytest.mark.parametrize("callers", [1, 2, 3, 8])
def test_results_come_in_the_order_of_the_indices(callers: int) -> None:
    indices = [5, 0, 7, 7, 2, 19, 1, 3, 4, 11, 6, 8]
    results = list(Engine(callers).map(Echo(0.001), Subset(numbers(20), indices), first_value))
    assert results == [(index, float(index)) for index in indices]


@pytest.mark.parametrize("callers", [1, 3])
def test_no_more_callers_run_than_asked_for(callers: int) -> None:
    session = Echo(0.002)
    list(Engine(callers).map(session, Subset(numbers(20), range(20)), first_value))
    assert 1 <= session.most <= callers


def test_no_index_gives_no_result() -> None:
    assert list(Engine(2).map(Echo(), Subset(numbers(3), []), first_value)) == []


def test_callers_default_to_the_cores_of_this_process() -> None:
    assert Engine().callers == available_cores() >= 1


@pytest.mark.parametrize(
    ("configured", "fastest", "shares", "expected"),
    [
        (None, None, (8, 2, 0), (8, 2, 1)),
        (None, 4, (8, 4, 2), (4, 4, 2)),
        (5, 4, (8, 2, 0), (5, 5, 5)),
    ],
    ids=["cores", "measured", "configured"],
)
def test_callers_follow_the_share_unless_they_are_configured(
    configured: int | None, fastest: int | None, shares: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    given = iter(shares)
    engine = Engine(configured, share=lambda: next(given))
    engine.fastest = fastest
    assert tuple(engine.callers for _ in shares) == expected


@pytest.mark.parametrize(
    ("half", "callers"), [(2.0, 4), (0.95, 4), (0.5, 2)], ids=["cores of their own", "nearly shared", "worse"]
)
def test_half_the_callers_are_chosen_where_they_are_clearly_faster(half: float, callers: int) -> None:
    asked: list[int] = []

    def took(count: int) -> float:
        asked.append(count)
        # Another process slows the first round of either down.
        return {4: 1.0, 2: half}[count] * (10 if len(asked) in (1, 4) else 1)

    assert fastest_callers(took, 4, seconds=0.0) == callers
    assert asked == [4, 2, 4, 2]


def test_rounds_go_on_for_the_time_to_spend() -> None:
    asked: list[int] = []

    def took(count: int) -> float:
        asked.append(count)
        return 0.25

    assert fastest_callers(took, 8, seconds=3.0) == 8
    assert asked == [8, 4] * 6


@pytest.mark.parametrize("callers", [1, 3])
def test_a_round_has_so_many_runs_at_a_time(callers: int) -> None:
    together = threading.Barrier(callers, timeout=30)

    class Meeting(Echo):
        def run(self, feeds: dict[str, NDArray], outputs: object = None) -> list[NDArray]:
            together.wait()
            return super().run(feeds, outputs)

    session = Meeting()
    feeds = [{"x": np.zeros((1, 1), np.float32)}] * 2
    assert round_seconds(session, feeds, callers, runs=2 * callers) > 0
    assert session.most <= callers


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("100000 100000", 1), ("150000 100000", 2), ("300000 100000", 3), ("50000 100000", 1), ("max 100000", 4), ("", 4)],
)
def test_cores_are_no_more_than_a_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 5}, raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cores(tmp_path / "cpu.max") == cores
    assert available_cores(tmp_path / "absent") == 4


@pytest.mark.parametrize("callers", [1, 2, 4])
def test_stopping_early_leaves_the_rest_unread(callers: int) -> None:
    data = numbers(1000)
    results = Engine(callers).map(Echo(), Subset(data, range(1000)), first_value)
    taken = [next(results) for _ in range(5)]
    results.close()
    read = len(data.reads)
    time.sleep(0.01)
    assert [index for index, _ in taken] == [0, 1, 2, 3, 4]
    assert 5 <= read <= 5 + 2 * callers
    assert len(data.reads) == read  # nothing goes on behind our back


class Broken(Items):
    """Items of which some cannot be read."""

    def item(self, index: int) -> Item:
        if index in (6, 9):
            raise DatasetError(f"item {index} is broken")
        return super().item(index)


@pytest.mark.parametrize("callers", [1, 2, 4])
def test_first_broken_item_in_order_raises_after_the_ones_before_it(callers: int) -> None:
    seen = []
    with pytest.raises(DatasetError, match="item 6 is broken"):
        for index, _ in Engine(callers).map(Echo(0.001), Subset(Broken(numbers(12).x), range(12)), first_value):
            seen.append(index)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_exception_of_reduce_propagates() -> None:
    def fail(index: int, arrays: list[NDArray]) -> None:
        raise KeyError("from reduce")

    with pytest.raises(KeyError, match="from reduce"):
        list(Engine(2).map(Echo(), Subset(numbers(4), range(4)), fail))


def test_item_that_does_not_fit_is_called_by_the_datasets_name() -> None:
    with pytest.raises(DatasetError, match=r"dataset: item item 3 has shape 2, but the model input 'x' takes 1"):
        list(Engine(1).map(Echo(), Subset(Items([np.zeros(1)] * 3 + [np.zeros(2)]), range(4)), first_value))


def test_decode_time_counts_reading_and_not_the_model() -> None:
    class Slow(Items):
        spent = 0.0

        def item(self, index: int) -> Item:
            start = time.perf_counter()
            time.sleep(0.01)
            item = super().item(index)
            with lock:
                self.spent += time.perf_counter() - start
            return item

    lock, data, engine = threading.Lock(), Slow(numbers(10).x), Engine(2)
    assert engine.decode_seconds == 0
    list(engine.map(Echo(0.01), Subset(numbers(10), range(10)), first_value))
    before = engine.decode_seconds
    assert before < 0.05
    list(engine.map(Echo(), Subset(data, range(10)), first_value))
    assert engine.decode_seconds - before == pytest.approx(data.spent / 2, rel=0.3)


def test_model_outputs_have_the_same_bits_with_any_number_of_callers() -> None:
    graph, _ = prepared(conv_gemm())
    data, session = Items(normal_items(17, 2, 6, 6)), Session(graph)
    outputs = [
        np.concatenate([y for (y,) in Engine(callers).map(session, Subset(data, range(17)), lambda _, arrays: arrays)])
        for callers in (1, 2, 5)
    ]
    assert all(np.array_equal(outputs[0], other) for other in outputs[1:])
    plain = np.concatenate([y for (y,) in run_plain(graph, data.x, ["logits"])])
    np.testing.assert_allclose(outputs[0], plain, rtol=1e-5, atol=1e-5)


def test_chosen_outputs_alone_are_returned() -> None:
    from runner.graph.probe import with_outputs

    graph, _ = prepared(conv_gemm())
    session, data = Session(with_outputs(graph, ["a", "b"])), Items(normal_items(2, 2, 6, 6))
    shapes = list(Engine(1).map(session, Subset(data, [0]), lambda _, arrays: [a.shape for a in arrays], outputs=["b"]))
    assert shapes == [[(1, 6, 2, 2)]]


def test_failing_node_is_a_model_error() -> None:
    graph, _ = prepared(conv_gemm())
    session = Session(graph)
    with pytest.raises(ModelError, match=r"onnxruntime cannot run the model on x \[1, 2, 6, 6\] float64"):
        session.run({"x": np.zeros((1, 2, 6, 6))})


def test_interruption_stops_the_items_under_way() -> None:
    class Waiting(Echo):
        def __init__(self) -> None:
            super().__init__()
            self.stopped = threading.Event()

        def run(self, feeds: dict[str, NDArray], outputs: object = None) -> list[NDArray]:
            if feeds["x"][0, 0] == 0:
                raise KeyboardInterrupt
            if not self.stopped.wait(60):
                raise TimeoutError
            raise ModelError("terminated")

        def stop(self) -> None:
            self.stopped.set()

    session = Waiting()
    with pytest.raises(KeyboardInterrupt):
        list(Engine(2).map(session, Subset(numbers(8), range(8)), first_value))
    assert session.stopped.is_set()


def test_stopped_session_runs_no_more() -> None:
    session = Session(prepared(conv_gemm())[0])
    feeds = {"x": normal_items(1, 2, 6, 6)}
    session.run(feeds)
    session.stop()
    with pytest.raises(ModelError, match="onnxruntime cannot run the model"):
        session.run(feeds)
