"""Data that gives a metric no figure, or classes that the model does not know, is refused before any plan is tried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.app.conftest import Command
from tests.data import write_image
from tests.models import save
from tests.tasks.task_cases import CASES, CLASSES, SIDE


@pytest.fixture
def started(tmp_path: Path, run: Command) -> Callable[..., tuple[int, str]]:
    """Run the job of a task below ``tmp_path``, after a change of its data; returns the status and standard error."""

    def start(name: str, change: Callable[[Path], None], *more: str, mode: str = "acc_auto") -> tuple[int, str]:
        case = CASES[name]
        model = case.graph()
        save(model, tmp_path / "net.onnx")
        options = case.truth(tmp_path, model)
        change(tmp_path)
        ended = run(
            *[f"mode={mode}", "model=file", f"model.path={tmp_path}/net.onnx", *options, "tracking=none", "quant=amct"],
            *["target_loss=100", "calibration.count=4", "cache=none", f"paths.output={tmp_path}/out", *more],
        )
        return ended.status, ended.err

    return start


def nothing(folder: Path) -> None:
    """Leave the data as it is."""


def no_boxes(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        path.write_text("")


def ignored_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        write_image(path, np.full((SIDE, SIDE), 255, np.uint8))


def empty_texts(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "images").iterdir())
    (folder / "labels.txt").write_text("".join(f"{name}\t\n" for name in names))


def alone(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "images").iterdir())
    (folder / "labels.txt").write_text("".join(f"{name} {number}\n" for number, name in enumerate(names)))


def not_annotated(folder: Path) -> None:
    data = dict(np.load(folder / "data.npz"))
    np.savez(folder / "data.npz", **{**data, "points": np.full_like(data["points"], np.nan)})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("detection", no_boxes),
        ("segmentation", ignored_masks),
        ("text", empty_texts),
        ("retrieval", alone),
        ("regression", not_annotated),
    ],
)
def test_data_without_anything_to_judge_is_refused_and_loses_nothing(
    name: str, change: Callable[[Path], None], started: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    assert started(name, nothing)[0] == 0
    earlier = (tmp_path / "out" / "acc_auto" / "summary.json").read_bytes()
    # Written once more by the case: only the change is new.
    for folder in ("images", "labels", "masks"):
        if (tmp_path / folder).is_dir():
            for path in (tmp_path / folder).iterdir():
                path.unlink()
            (tmp_path / folder).rmdir()
    status, error = started(name, change)
    assert status == 2 and error.count("error: ") == 1
    assert re.search(
        rf"error: metric: the float model's {CASES[name].metric} over the 24 evaluation items is nan: nothing in them can be "
        r"judged, .* Expected a finite number\.",
        error,
    )
    assert (tmp_path / "out" / "acc_auto" / "summary.json").read_bytes() == earlier


def class_beyond(folder: Path) -> None:
    (folder / "labels" / "23.txt").write_text("3 0.5 0.5 0.5 0.5\n")


def mask_beyond(folder: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[3, 4] = CLASSES
    write_image(folder / "masks" / "23.png", mask)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "detection",
            class_beyond,
            "metric=map: the data holds boxes of class 3, but the model tells 3 classes, 0 to 2.",
        ),
        (
            "segmentation",
            mask_beyond,
            "metric=miou: a mask holds class 3, but the output 'y' [1, 3, 16, 16], read as nchw",
        ),
    ],
)
def test_class_that_the_model_does_not_know_is_refused_wherever_it_is(
    name: str, change: Callable[[Path], None], said: str, started: Callable[..., tuple[int, str]]
) -> None:
    status, error = started(name, change)
    assert status == 2 and said in error and "the item is 23" in error


def test_held_out_items_without_anything_to_judge_leave_the_figures_of_the_search(
    started: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    def few_boxes(folder: Path) -> None:
        for number, path in enumerate(sorted((folder / "labels").iterdir())):
            if number % 2 == 0:
                path.write_text("")

    status, error = started("detection", few_boxes, "split.report=0.5")
    assert status == 0
    assert "split.report: map over the 12 items kept for the report is no number" in error
    summary = json.loads((tmp_path / "out" / "acc_auto" / "summary.json").read_text())
    assert summary["samples"] == 12 and summary["float_metric"] > 0


def test_another_metric_of_a_sweep_leaves_the_boxes_alone(started: Callable[..., tuple[int, str]]) -> None:
    assert started("detection", nothing, "metric=sqnr")[0] == 0
