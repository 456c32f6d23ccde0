"""Further figures and figures by class, in every place where figures are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from runner.dataset.input_settings import InputSettings
from runner.dataset.subset import Subset
from runner.evaluation.accuracy import TopK
from runner.evaluation.metric import Scores
from runner.evaluation.scores import Evaluation
from runner.figure import Figure, Report, Section, Table
from runner.modes.result import Comparison, Headline
from runner.report.sections.by_class import by_class
from runner.report.sections.metrics import metrics
from runner.report.summary import summary
from runner.report.tracked import tracked
from tests.data import Items

CLASSES = 25


class Classes(TopK):
    """A mean over classes: the figure of class c is what column c holds; half of that is told beside it."""

    def aggregate(self, scores: Scores) -> float:
        return float(np.nanmean(scores))

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        return self.aggregate(float_scores) - self.aggregate(scores)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        return {"half of it": self.aggregate(scores) / 2, "nothing": math.nan}

    def by_class(self, scores: Scores) -> Mapping[int, float]:
        return dict(enumerate(scores[0].tolist()))


class Named(Items):
    class_names: tuple[str, ...] = ()


def compare(names: tuple[str, ...] = (), judged: Headline | None = None) -> Comparison:
    """Return a comparison in which class c loses c points, and the last one has no figure after."""
    data = Named(np.zeros((1, 1), np.float32))
    data.class_names = names
    before = np.full((1, CLASSES), 50.0)
    after = before - np.arange(CLASSES)
    after[0, -1] = math.nan
    evaluations = [Evaluation({"top1": scores}) for scores in (before, after)]
    return Comparison([Classes()], *evaluations, None, Subset(InputSettings(data), [0]), judged)


def told(section: Section) -> dict[str, Any]:
    return summary(Report("acc_auto", "m", "d", ("", ""), (), [section]))


def figure(section: Section, title: str) -> Figure:
    return next(each for each in section.figures if each.title == title)


def test_further_figures_stand_beside_the_metric_without_what_is_no_number() -> None:
    section = metrics(compare())
    half = {"float": 25.0, "quantized": pytest.approx((50 - 23 / 2) / 2)}
    assert told(section)["metrics"] == {"top1": {"float": 50.0, "quantized": 38.5}, "half of it": half}
    assert tracked(Report("", "", "", ("", ""), (), [section])) == {
        "float/half_of_it": 25.0,
        "quantized/half_of_it": 19.25,
    }
    assert figure(section, "further figures").phrase == "half of it 25 -> 19.25"
    (table,) = section.blocks
    assert isinstance(table, Table) and [list(row.cells) for row in table.rows] == [["half of it", "25", "19.25"]]


def test_classes_that_lose_most_come_first_and_all_are_in_the_summary() -> None:
    names = tuple(f"c{number}" for number in range(CLASSES - 2))
    section = by_class(compare((*names[:-1], "c0")))
    both = told(section)["by_class"]
    # Two classes share a name, and the last two have none.
    assert list(both) == ["0", *names[1:22], "22", "23", "24"]
    assert both["c3"] == {"float": 50.0, "quantized": 47.0} and both["24"] == {"float": 50.0, "quantized": None}
    table, more = section.blocks
    assert isinstance(table, Table)
    assert [row.cells[0] for row in table.rows] == ["23", "22", *(f"c{number}" for number in range(21, 3, -1))]
    assert list(table.rows[0].cells) == ["23", "50", "27", "23"]
    assert more.parts == ("and 5 more; summary.json has all.",)
    assert figure(section, "worst classes").phrase == "23 50 -> 27, 22 50 -> 28, c21 50 -> 29"


def test_what_something_else_judged_is_not_told_by_class() -> None:
    assert by_class(compare(judged=Headline("own", "points", 1, 1, 0))).figures == ()
