"""StageClock: announced, timed, with reading counted apart."""

from __future__ import annotations

import time

import numpy as np
import pytest

from runner.dataset.item import Item
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.events import Event, StageAdvanced, StageFinished, StageStarted
from runner.modes.clock import StageClock
from runner.search.budget import BudgetSpentError
from runner.session import InputSpec
from tests.data import Items


class SlowItems(Items):
    def item(self, index: int) -> Item:
        time.sleep(0.02)
        return super().item(index)


class Constant:
    inputs = (InputSpec("x", (None, 1), np.dtype(np.float32)),)

    def run(self, feeds: object, outputs: object = None) -> list:
        return [0]


def test_listener_hears_start_progress_and_end() -> None:
    heard: list[Event] = []
    with StageClock(Engine(1), heard.append).stage("rank", 3, "detail") as progress:
        progress(1)
        progress(3)
    assert heard[:3] == [StageStarted("rank", 3, "detail"), StageAdvanced("rank", 1), StageAdvanced("rank", 3)]
    assert isinstance(heard[3], StageFinished) and heard[3].stage == "rank" and len(heard) == 4


def test_stage_that_fails_is_not_announced_as_finished() -> None:
    heard: list[Event] = []
    clock = StageClock(Engine(1), heard.append)
    with pytest.raises(RuntimeError, match="broken"), clock.stage("rank"):
        raise RuntimeError("broken")
    assert heard == [StageStarted("rank", 0, "")]


@pytest.mark.parametrize("stop", [BudgetSpentError, KeyboardInterrupt])
def test_stage_that_is_cut_short_is_finished_and_counted(stop: type[BaseException]) -> None:
    heard: list[Event] = []
    clock = StageClock(Engine(1), heard.append)
    with pytest.raises(stop), clock.stage("rank"), clock.apart("write"):
        time.sleep(0.01)
        raise stop
    assert isinstance(heard[-1], StageFinished)
    assert clock.seconds()["write"] >= 0.01
    assert heard[-1].seconds >= 0.01


def test_seconds_add_up_over_stages_of_one_name() -> None:
    clock = StageClock(Engine(1), lambda event: None)
    for name in ("search", "search", "load"):
        with clock.stage(name):
            time.sleep(0.02)
    seconds = clock.seconds()
    assert seconds["search"] >= 0.04 and seconds["load"] >= 0.02
    assert seconds["model_work"] == pytest.approx(seconds["search"], abs=0.002)
    assert seconds["total"] >= 0.06


def test_every_stage_of_the_summary_is_there_from_the_start() -> None:
    names = {"load", "decode", "calibrate", "float_eval", "rank", "search", "final_eval", "write", "verify"}
    seconds = StageClock(Engine(1), lambda event: None).seconds()
    assert names | {"model_work", "total"} == set(seconds)
    assert all(seconds[name] == 0 for name in names)


def test_reading_is_taken_out_of_the_stage_and_put_under_decode() -> None:
    engine = Engine(1)
    clock, data = StageClock(engine, lambda event: None), SlowItems(np.zeros((5, 1), np.float32))
    with clock.stage("float_eval"):
        list(engine.map(Constant(), Subset(data, range(5)), lambda index, arrays: None))
        time.sleep(0.03)
    seconds = clock.seconds()
    assert seconds["decode"] >= 0.1
    assert 0.025 <= seconds["float_eval"] < seconds["decode"]


def test_time_of_another_stage_inside_one_is_counted_apart() -> None:
    clock = StageClock(Engine(1), lambda event: None)
    with clock.stage("search"), clock.apart("write"):
        time.sleep(0.05)
    seconds = clock.seconds()
    assert seconds["write"] >= 0.05 and seconds["search"] < seconds["write"]
    assert seconds["model_work"] == seconds["search"]
