"""An AMCT evaluator class as it is: ``evaluate(model_file)`` measures, ``metric_eval(original, new)`` decides.

Its third method, ``calibration(model_file)``, is not called: calibration looks at the job's own calibration items.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runner.class_path import class_at
from runner.errors import ConfigError
from runner.wording import say

_METHODS = ("evaluate", "metric_eval")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AmctEvaluator:
    """``metric=amct_evaluator``.

    Attributes:
        evaluator: import path of the class, such as ``my_module.MyEvaluator``; in a library call also an object.
        kwargs: arguments of its constructor.
        name: what the figure is called in tables and files.
        unit: of the loss that ``metric_eval`` gives.
    """

    evaluator: Any
    kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "amct_evaluator"
    unit: str = str(say("as metric_eval gives it"))

    def load(self) -> LoadedEvaluator:
        """Return the evaluator, ready to be asked.

        Raises:
            ConfigError: it cannot be imported or made, or lacks a method.
        """
        if not isinstance(self.evaluator, str):
            shown = type(self.evaluator).__name__
            _check_methods(self.evaluator, shown)
            return LoadedEvaluator(self.evaluator, shown, self.name, self.unit)
        shown = self.evaluator
        # Looked at before anything of it is called: whatever is no evaluator does nothing.
        kind = class_at(shown, "metric.evaluator")
        _check_methods(kind, shown)
        return LoadedEvaluator(_call(kind, self.kwargs, f"{shown}()"), shown, self.name, self.unit)


class LoadedEvaluator:
    """A user's evaluator object; what it returns is checked where it returns it.

    Args:
        evaluator: any object with the two methods.
        shown: what it is called in messages.
        name: what its figure is called.
        unit: of its loss.
    """

    def __init__(self, evaluator: Any, shown: str, name: str, unit: str) -> None:  # noqa: ANN401 - the user's
        self._evaluator, self._shown = evaluator, shown
        self.name, self.unit = name, unit

    def evaluate(self, model_file: Path) -> Any:  # noqa: ANN401 - any object, as in AMCT
        """Return the user's metric of a model file that plain onnxruntime loads.

        Raises:
            ConfigError: the method failed, or gave nothing.
        """
        where = f"{self._shown}.evaluate"
        metric = _call(self._evaluator.evaluate, {"model_file": str(model_file)}, where, positional=True)
        if metric is None or callable(metric):
            raise ConfigError(f"metric.evaluator: {where} must return the metric of the model, got {metric!r}.")
        return metric

    def compare(self, original: Any, new: Any) -> tuple[bool, float]:  # noqa: ANN401
        """Return (satisfied, loss); numpy's booleans and numbers become Python's.

        Raises:
            ConfigError: the method failed, or gave something else.
        """
        where = f"{self._shown}.metric_eval"
        verdict = _call(
            self._evaluator.metric_eval, {"original_metric": original, "new_metric": new}, where, positional=True
        )
        expected = f"metric.evaluator: {where} must return (bool, loss), got {verdict!r}."
        if not isinstance(verdict, tuple | list) or len(verdict) != 2:
            raise ConfigError(expected)
        satisfied, loss = verdict
        number = as_number(loss)
        if not isinstance(satisfied, bool | np.bool_) or number is None:
            raise ConfigError(expected)
        if not np.isfinite(number):
            raise ConfigError(f"metric.evaluator: {where} must return a finite loss, got {number}.")
        return bool(satisfied), number


def as_number(metric: Any) -> float | None:  # noqa: ANN401
    """Return a metric as a number, or None where it is something else."""
    if isinstance(metric, bool | np.bool_):
        return None
    if isinstance(metric, int | float | np.integer | np.floating):
        return float(metric)
    if isinstance(metric, np.ndarray) and metric.size == 1 and metric.dtype.kind in "iuf":
        return float(metric.reshape(()))
    return None


def _check_methods(evaluator: object, shown: str) -> None:
    missing = [method for method in _METHODS if not callable(getattr(evaluator, method, None))]
    if missing:
        raise ConfigError(
            f"metric.evaluator: {shown} has no method {' and no method '.join(missing)}; expected "
            "evaluate(model_file) -> metric and metric_eval(original_metric, new_metric) -> (bool, loss)."
        )


def _call(method: Callable[..., Any], arguments: dict[str, Any], where: str, *, positional: bool = False) -> Any:  # noqa: ANN401
    """Call the user's code; whatever it raises is told as an error of the user's, with the traceback in the log."""
    try:
        return method(*arguments.values()) if positional else method(**arguments)
    except Exception as error:
        logger.exception("%s failed", where)
        raise ConfigError(f"metric.evaluator: {where} failed: {type(error).__name__}: {error}") from error
