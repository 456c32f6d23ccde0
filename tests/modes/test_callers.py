"""The number of callers is measured once for a model on a machine, and only where there is a choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.modes import callers
from runner.modes.callers import choose_callers
from runner.store.store import Store
from tests.data import Items, normal_items
from tests.models import conv_gemm

PART = Subset(Items(normal_items(3, 2, 6, 6)), [0, 1, 2])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many feeds and runs each round had; half the cores are found fastest."""
    seen: list[tuple[int, int]] = []

    def round_of(session: object, feeds: list[dict[str, np.ndarray]], count: int, runs: int) -> float:
        assert [feed["x"].shape for feed in feeds] == [(1, 2, 6, 6)] * 3
        seen.append((len(feeds), runs))
        return 0.1 * count

    monkeypatch.setattr(callers, "round_seconds", round_of)
    return seen


def settled(engine: Engine, store: Store | None, graph: str = "graph") -> int | None:
    choose_callers(engine, ir.from_proto(conv_gemm()), graph, PART, store)
    return engine.fastest


def test_measured_once_for_a_model_and_a_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(callers, "available_cores", lambda: 8)
    store = Store(tmp_path, 10_000)
    assert settled(Engine(), store) == 4
    rounds = len(measured)
    assert settled(Engine(), store) == 4 and len(measured) == rounds
    assert settled(Engine(), None) == 4 and len(measured) == 2 * rounds
    assert settled(Engine(), store, "another") == 4 and len(measured) == 3 * rounds
    monkeypatch.setattr(callers, "available_cores", lambda: 16)
    assert settled(Engine(), store) == 8
    # Twice as many runs as cores in each of a few rounds.
    assert list(dict.fromkeys(measured)) == [(3, 16), (3, 32)]


@pytest.mark.parametrize(("cores", "configured"), [(3, None), (8, 2)], ids=["few cores", "configured"])
def test_not_measured_where_there_is_nothing_to_choose(
    monkeypatch: pytest.MonkeyPatch, measured: list[tuple[int, int]], cores: int, configured: int | None
) -> None:
    monkeypatch.setattr(callers, "available_cores", lambda: cores)
    assert settled(Engine(configured), None) is None and measured == []


def test_the_measuring_itself_runs_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "available_cores", lambda: 4)
    assert settled(Engine(), None) in (2, 4)
