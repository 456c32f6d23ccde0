"""The page that lists the keys of summary.json, against the summaries of real jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.dataset.npz import NpzDataset
from runner.evaluation.distance import Mse
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.result import AccAutoResult
from runner.report.told import JobFacts
from runner.targets.qdq.target import Qdq
from tests import told
from tests.data import normal_items
from tests.models import answers, chain, save

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reference" / "summary.md"
# Objects whose own keys are names of layers, outputs, metrics and stages: the page tells what is in them in words.
OPEN = {
    "bytes",
    "metrics",
    "by_class",
    "outputs",
    "inputs",
    "constants",
    "versions",
    "seconds",
    "device_metric",
    "kernels",
}
# Of tasks and settings that no job here has.
ELSEWHERE = {
    *("by_class", "chosen", "constants", "repaired", "mlflow", "answers_changed", "tied_answers", "outputs_8bit"),
    *("loss_interval.items_to_settle", "loss_interval.one_sided", "loss_interval.at_least", "loss_interval.unsure"),
}


def told_by_the_page() -> set[str]:
    """Return the keys of the first columns."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}


def keys(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a summary's keys, those of objects that are always the same with what they lie in."""
    for key, value in summary.items():
        if isinstance(value, dict) and key not in OPEN:
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield key


@pytest.fixture(scope="module")
def summaries(job: dict[str, AccAutoResult], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of jobs that are met, missed, for another target, and without classes."""
    folder = tmp_path_factory.mktemp("keys")
    model, x = chain(4), normal_items(20, 3, 4, 4)
    np.savez(folder / "data.npz", x=x, y=answers(model, x))
    path, data = save(model, folder / "net.onnx"), NpzDataset(str(folder / "data.npz"))
    more = [
        acc_auto(path, data, folder / "qdq", AccAutoOptions(90, target=Qdq())),
        acc_auto(path, data, folder / "mse", AccAutoOptions(90, metric=Mse())),
    ]
    return [told.summary_of(result, JobFacts(3, "ab" * 32)) for result in [*job.values(), *more]]


def test_every_key_of_real_summaries_is_on_the_page(summaries: list[dict[str, Any]]) -> None:
    found = {key for summary in summaries for key in keys(summary)}
    assert not found - told_by_the_page()


def test_every_key_of_the_page_is_in_a_summary_or_belongs_to_another_task(summaries: list[dict[str, Any]]) -> None:
    found = {key for summary in summaries for key in keys(summary)}
    assert not told_by_the_page() - found - ELSEWHERE
