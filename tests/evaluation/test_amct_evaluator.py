"""The user's evaluator class: how it is found and called, and what it may return."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.evaluation.amct_evaluator import AmctEvaluator, as_number

MODULE = """
class Good:
    def __init__(self, images="a", batch=1):
        self.images, self.batch = images, batch

    def calibration(self, model_file):
        raise AssertionError("not called")

    def evaluate(self, model_file):
        return f"{self.images}{self.batch} {model_file}"

    def metric_eval(self, original_metric, new_metric):
        return original_metric == new_metric, 0.5

class Bare:
    def evaluate(self, model_file):
        return 1.0

function = print
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_amct_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_amct_module", raising=False)


class Says:
    """An evaluator that returns what it is given."""

    def __init__(self, metric: object = 1.0, verdict: object = (True, 0.0)) -> None:
        self.metric, self.verdict = metric, verdict

    def evaluate(self, path: str) -> object:
        if isinstance(self.metric, Exception):
            raise self.metric
        return self.metric

    def metric_eval(self, original: object, new: object) -> object:
        return self.verdict


def test_class_is_imported_and_made_with_its_arguments() -> None:
    loaded = AmctEvaluator("my_amct_module.Good", {"images": "photos", "batch": 3}).load()
    assert loaded.evaluate(Path("net.onnx")) == "photos3 net.onnx"
    assert loaded.compare("a", "a") == (True, 0.5) and loaded.compare("a", "b") == (False, 0.5)


@pytest.mark.parametrize(
    "verdict", [(np.bool_(False), np.float32(0.5)), [False, 0.5], (False, np.array([0.5]))], ids=str
)
def test_numpys_booleans_and_numbers_become_pythons(verdict: object) -> None:
    satisfied, loss = AmctEvaluator(Says(verdict=verdict)).load().compare(1, 2)
    assert satisfied is False and type(loss) is float and loss == 0.5


@pytest.mark.parametrize(
    ("evaluator", "kwargs", "message"),
    [
        ("my_amct_module.Missing", {}, "metric.evaluator: cannot import 'my_amct_module.Missing' (module"),
        ("no_module.Class", {}, "metric.evaluator: cannot import 'no_module.Class' (No module named"),
        ("Class", {}, "metric.evaluator: cannot import 'Class'"),
        ("my_amct_module.function", {}, "expected the import path of a class, got 'my_amct_module.function'"),
        (
            "my_amct_module.Bare",
            {},
            "metric.evaluator: my_amct_module.Bare has no method metric_eval; expected evaluate(",
        ),
        ("my_amct_module.Good", {"image": 1}, "metric.evaluator: my_amct_module.Good() failed: TypeError: "),
        (3, {}, "metric.evaluator: int has no method evaluate and no method metric_eval"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_class_that_cannot_be_used_is_refused(evaluator: object, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        AmctEvaluator(evaluator, kwargs).load()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [(True, "True"), ((True,), "(True,)"), ((1, 0.5), "(1, 0.5)"), ((True, "0"), "(True, '0')"), ((True, True), "(Tr")],
    ids=str,
)
def test_verdict_that_is_none_is_refused(verdict: object, shown: str) -> None:
    with pytest.raises(ConfigError) as error:
        AmctEvaluator(Says(verdict=verdict)).load().compare(1, 2)
    assert str(error.value).startswith(f"metric.evaluator: Says.metric_eval must return (bool, loss), got {shown}")


def test_loss_must_be_finite() -> None:
    with pytest.raises(ConfigError, match=r"Says\.metric_eval must return a finite loss, got nan"):
        AmctEvaluator(Says(verdict=(True, float("nan")))).load().compare(1, 2)


@pytest.mark.parametrize("metric", [None, print], ids=["nothing", "a method"])
def test_metric_that_was_forgotten_is_refused(metric: object) -> None:
    with pytest.raises(ConfigError, match=r"Says\.evaluate must return the metric of the model, got"):
        AmctEvaluator(Says(metric)).load().evaluate(Path("a"))


def test_users_own_failure_is_told_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"metric.evaluator: Says\.evaluate failed: KeyError: 'x'"):
        AmctEvaluator(Says(KeyError("x"))).load().evaluate(Path("a"))
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("metric", "number"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (np.array([2]), 2.0),
        (True, None),
        ("a", None),
        (np.zeros(2), None),
        ({}, None),
    ],
    ids=str,
)
def test_number_is_taken_from_what_is_one(metric: object, number: float | None) -> None:
    assert as_number(metric) == number
