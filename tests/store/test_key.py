"""Keys differ where anything differs that a result depends on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from runner.calibration.ifmr import Ifmr
from runner.calibration.percentile import Percentile
from runner.evaluation.accuracy import Agreement, TopK
from runner.store import key as key_module
from runner.store.key import arithmetic, stage_key

PARTS = [
    None,
    0,
    False,
    0.5,
    "0",
    "",
    [],
    [[]],
    {"a": 1},
    {"a": 2},
    {1, 2},
    [1, 2],
    b"x",
    "x",
    np.zeros(3, np.float32),
    np.zeros(3, np.int32),
    np.zeros((3, 1), np.float32),
    np.ones(3, np.float32),
    Ifmr(),
    Percentile(),
    TopK(1),
    TopK(5),
    Agreement(),
    [TopK(1), Agreement()],
]


def test_different_parts_give_different_keys() -> None:
    keys = [stage_key("stage", [1], part) for part in PARTS]
    keys += [stage_key("stage", [2], None), stage_key("other", [1], None), stage_key("stage", [1], None, None)]
    assert None not in keys and len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_false_and_zero_are_told_apart_within_a_container() -> None:
    assert stage_key("s", [], {"a": 0}) != stage_key("s", [], {"a": False})


def test_equal_parts_give_one_key() -> None:
    assert stage_key("s", [1], TopK(5), {"b": [1.5]}, {3, 1, 2}) == stage_key(
        "s", [1], TopK(5), {"b": (1.5,)}, {2, 3, 1}
    )


@dataclass(frozen=True)
class OwnMetric:
    """A metric of a user's: what it computes cannot be seen."""

    k: int = 1


class OwnTopK(TopK):
    """The same, made from one of the runner's."""


@pytest.mark.parametrize(
    "part",
    [OwnMetric(), OwnTopK(), [TopK(), OwnMetric()], {"x": OwnMetric()}, object()],
    ids=["own", "of ours", "in a list", "in a mapping", "any object"],
)
def test_object_of_a_users_class_has_no_key(part: object) -> None:
    assert stage_key("s", [1], part) is None


@pytest.mark.parametrize("what", ["onnxruntime", "processor"])
def test_another_onnxruntime_or_processor_gives_another_key(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stage_key("s", [1])
    arithmetic.cache_clear()
    if what == "onnxruntime":
        monkeypatch.setattr(key_module.metadata, "version", lambda name: "9.9")
    else:
        monkeypatch.setattr(key_module, "_cpu_features", lambda: "sse2")
    try:
        assert stage_key("s", [1]) != before
    finally:
        monkeypatch.undo()
        arithmetic.cache_clear()
    assert stage_key("s", [1]) == before


def test_this_machine_has_features() -> None:
    assert len(arithmetic()[-1]) > 0
