"""What a job of each task shows of the items that changed: in flips.csv, on the page, as pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runner.calibration.percentile import Percentile
from runner.dataset.input_settings import InputSettings
from runner.dataset.item import Dataset
from runner.dataset.masks import MasksDataset
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.dataset.text_lines import TextLines
from runner.dataset.yolo import YoloDataset
from runner.evaluation.metric import Metric
from runner.evaluation.scores import column
from runner.modes.acc_auto import acc_auto
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.convert_qat import convert_qat
from runner.modes.convert_qat_options import ConvertQatOptions
from runner.modes.result import JobResult
from runner.modes.scoring import shown_answers
from runner.report.told import JobFacts
from runner.report.write import write_report
from runner.session import Session
from runner.store.store import Store
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision
from runner.tasks.detection.yolov8 import Yolov8
from runner.tasks.embeddings.cosine_similarity import CosineSimilarity
from runner.tasks.regression.mean_absolute_error import MeanAbsoluteError
from runner.tasks.segmentation.miou import MeanIou
from runner.tasks.text.character_errors import CharacterErrors
from tests.models import save
from tests.report.test_page import Parsed
from tests.tasks.task_cases import ALPHABET, CASES, quantization_aware

# Ranges so tight that every task loses something.
CUT = Percentile(0.9)
NAMES = ["<b>cat</b>", "=dog", "\u732b"]
TO_ONE = ImagePreprocess(scale=1 / 255)


def boxes(folder: Path) -> Dataset:
    return InputSettings(YoloDataset(f"{folder}/images", f"{folder}/labels", NAMES, TO_ONE), {"x": 0})


def masks(folder: Path) -> Dataset:
    return MasksDataset(f"{folder}/images", f"{folder}/masks", 255, NAMES, TO_ONE)


def lines(folder: Path) -> Dataset:
    return TextLines(f"{folder}/images", f"{folder}/labels.txt", None, TO_ONE)


def numbers(folder: Path) -> Dataset:
    return NpzDataset(f"{folder}/data.npz", truth={"y": "points"})


TASKS: dict[str, tuple[str, Callable[[Path], Dataset], Metric]] = {
    "detection": ("detection", boxes, MeanAveragePrecision(Yolov8())),
    "segmentation": ("segmentation", masks, MeanIou()),
    "text": ("text", lines, CharacterErrors(alphabet=list(ALPHABET))),
    "regression": ("regression", numbers, MeanAbsoluteError()),
    "cosine": ("regression", numbers, CosineSimilarity()),
}


@dataclass
class Bench:
    """A task's model and data in a folder, and jobs on them."""

    folder: Path
    name: str
    runs: int = 0

    def __post_init__(self) -> None:
        case, self.data, self.metric = TASKS[self.name]
        self.graph = CASES[case].graph()
        CASES[case].truth(self.folder, self.graph)
        self.model = save(self.graph, self.folder / "net.onnx")
        self.store = Store(self.folder / "cache", 50_000_000)

    def quantized(self, output: str = "out", *, target: float = 1000) -> JobResult:
        self.runs = 0
        options = AccAutoOptions(target, metric=self.metric, observer=CUT, calibration_count=8)
        return acc_auto(self.model, self.data(self.folder), self.folder / output, options, store=self.store)

    def converted(self, output: str = "qat") -> JobResult:
        path = save(quantization_aware(self.graph, self.folder), self.folder / "net_qat.onnx")
        self.runs = 0
        return convert_qat(
            path, self.data(self.folder), self.folder / output, ConvertQatOptions(metric=self.metric), store=self.store
        )

    def told(self, result: JobResult) -> Told:
        write_report(result, JobFacts())
        return Told(result.folder.root)


@dataclass
class Told:
    """The files of a report."""

    root: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO((self.root / "flips.csv").read_text(encoding="utf-8"))))

    @property
    def html(self) -> str:
        return (self.root / "report.html").read_text(encoding="utf-8")

    @property
    def summary(self) -> dict[str, Any]:
        def refuse(text: str) -> None:
            raise AssertionError(f"{text} in summary.json")

        return json.loads((self.root / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture(params=TASKS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return counting(Bench(tmp_path, request.param), monkeypatch)


def counting(made: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    run = Session.run

    def counted(self: Session, *args: Any, **kwargs: Any) -> Any:
        made.runs += 1
        return run(self, *args, **kwargs)

    monkeypatch.setattr(Session, "run", counted)
    return made


@pytest.mark.parametrize("mode", ["quantized", "converted"])
def test_every_task_tells_what_changed_in_its_own_words_worst_first(bench: Bench, mode: str) -> None:
    result = getattr(bench, mode)()
    told = bench.told(result)
    rows, comparison = told.rows, result.comparison
    assert rows or mode == "converted"  # of which the source is quantized itself
    costs = [float(row["cost"]) for row in rows]
    assert costs == sorted(costs, reverse=True)
    metric, name = bench.metric, bench.metric.name
    by_item = dict(
        zip(
            comparison.part.indices,
            zip(comparison.float_.scores[name], comparison.quantized.scores[name], strict=True),
            strict=True,
        )
    )
    changed = {index: metric.cost(*pair) for index, pair in by_item.items() if metric.cost(*pair) is not None}
    assert sorted(changed) == sorted(int(row["item"]) for row in rows)
    for row in rows:
        index = int(row["item"])
        assert float(row["cost"]) == pytest.approx(changed[index], rel=1e-5, abs=1e-9)
        assert row["effect"] == ("lost" if changed[index] > 0 else "gained" if changed[index] < 0 else "changed")
        for which, scores in zip(("float", "quantized"), by_item[index], strict=True):
            assert {key: row[f"{which}_{key}"].removeprefix("'") for key in metric.words(scores)} == metric.words(
                scores
            )
    page = Parsed(told.html)
    assert f"{len(rows)} of {comparison.items} items" in page.text
    assert page.tags.count("script") == 1 and "link" not in page.tags
    assert all(link.startswith("data:image/") or not link.startswith(("http", "//")) for link in page.links)
    assert "nan" not in told.html.replace("data:image", "").split("base64")[0].lower()
    assert told.summary["metrics"][name].keys() == {"float", "quantized"}


@pytest.mark.parametrize("mode", ["quantized", "converted"])
def test_a_second_job_runs_no_model_and_shows_the_same(bench: Bench, mode: str) -> None:
    first = bench.told(getattr(bench, mode)())
    assert bench.runs
    kept = {
        name: (first.root / name).read_bytes() for name in ("flips.csv", "flips.png") if (first.root / name).exists()
    }
    shown = first.html.split("What changed")[1].split("<h2>")[0]
    second = bench.told(getattr(bench, mode)())
    assert bench.runs == 0
    assert {name: (second.root / name).read_bytes() for name in kept} == kept
    assert second.html.split("What changed")[1].split("<h2>")[0] == shown


def test_masks_are_those_of_the_written_model_and_its_source(tmp_path: Path) -> None:
    made = Bench(tmp_path, "segmentation")
    result = made.quantized()
    answers, metric = result.comparison.answers, made.metric
    assert 0 < len(answers) <= 12 and isinstance(metric, MeanIou)
    dataset = made.data(tmp_path)
    sessions = [Session(made.model), Session(result.folder.path("results/net_fake_quant_model.onnx"))]
    for position, pair in answers.items():
        item = dataset.item(result.comparison.part.indices[position])
        for session, shown in zip(sessions, pair, strict=True):
            (y,) = session.run({"x": next(iter(item.arrays.values()))[np.newaxis]})
            expected = np.repeat(np.repeat(y[0].argmax(axis=0), 2, axis=0), 2, axis=1)
            assert (shown == expected).mean() > 0.999  # the fake-quant file runs in another session here


def test_job_that_is_interrupted_while_answers_are_made_has_its_result_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Bench(tmp_path, "segmentation")

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shown_answers, "_answers", interrupted)
        result = made.quantized()
    assert result.status == "interrupted" and result.models and result.comparison.answers == {}
    told = made.told(result)
    assert told.rows and told.summary["status"] == "interrupted"
    # Words in place of pictures.
    assert next(row["item"] for row in Parsed(told.html).table("item")) == told.rows[0]["name"]
    assert not (told.root / "flips.png").exists()
    again = made.told(made.quantized())
    assert (again.root / "flips.png").exists() and again.summary["status"] == "met"


def test_names_of_classes_files_and_texts_break_out_of_neither_page_nor_table(tmp_path: Path) -> None:
    made = Bench(tmp_path, "detection")
    worst = Path(made.told(made.quantized()).rows[0]["name"]).stem
    for folder, suffix in (("images", ".png"), ("labels", ".txt")):
        (tmp_path / folder / f"{worst}{suffix}").rename(tmp_path / folder / f"=cmd<i>{suffix}")
    told = made.told(made.quantized())
    page = Parsed(told.html)
    assert "i" not in page.tags and "=cmd<i>.png" in page.text
    assert "<b>cat</b>" not in told.html and "&lt;b&gt;cat&lt;/b&gt;" in told.html
    assert set(told.summary["by_class"]) <= set(NAMES) and "\u732b" in told.html
    assert [row["name"] for row in told.rows if "cmd" in row["name"]] == ["'=cmd<i>.png"]


def test_detection_has_a_photo_with_boxes_and_a_legend(tmp_path: Path) -> None:
    made = Bench(tmp_path, "detection")
    told = made.told(made.quantized())
    page = Parsed(told.html)
    assert told.html.count("data:image/jpeg") == min(16, len(told.rows))
    for word in ("truth", "float", "int8"):
        assert word in page.text
    with Image.open(told.root / "flips.png") as sheet:
        assert sheet.format == "PNG"
    assert "map50" in told.summary["metrics"] and "further figures" not in page.text
    assert {"map50", "map75"} <= {row["figure"] for row in page.table("figure")}
    rows = page.table("class")
    losses = [float(row["loss"]) for row in rows if row["loss"] != "none"]
    assert losses == sorted(losses, reverse=True) and len(rows) == len(told.summary["by_class"])


def test_photos_that_are_gone_cost_their_pictures_alone(tmp_path: Path) -> None:
    made = Bench(tmp_path, "detection")
    result = made.quantized()
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    told = made.told(result)
    assert "data:image/jpeg" not in told.html and told.rows
    assert Parsed(told.html).table("item")


def test_figures_that_nothing_tells_are_null_and_never_nan(tmp_path: Path) -> None:
    made = Bench(tmp_path, "detection")
    result = made.quantized()
    comparison = result.comparison
    emptied = {}
    for which in ("float_", "quantized"):
        rows = getattr(comparison, which).scores["map"]
        # No true box: AP is no number.
        blank = column([[0, *row[1:2], *row[2 + 7 * int(row[0]) :]] for row in rows])
        emptied[which] = replace(getattr(comparison, which), scores={**getattr(comparison, which).scores, "map": blank})
    headline = comparison.judged
    assert headline is not None
    blank_headline = replace(headline, before=math.nan, after=math.nan, loss=0.0)
    told = made.told(replace(result, comparison=replace(comparison, **emptied, judged=blank_headline)))
    assert told.summary["metrics"]["map"] == {"float": None, "quantized": None}
    assert told.summary["float_metric"] is None and "by_class" not in told.summary
    assert "nan" not in Parsed(told.html).text.lower()


def test_text_that_differs_is_marked_character_by_character(tmp_path: Path) -> None:
    made = Bench(tmp_path, "text")
    told = made.told(made.quantized())
    worst = told.rows[0]
    shown = told.html.partition('id="changed_results"')[2].split('class="exhibit"')[1]
    for which in ("truth", "float", "int8"):
        assert f'<span class="key">{which}</span>' in shown
    assert f'<span class="read">{worst["truth"]}</span>' in shown
    assert int(worst["quantized_edits"]) - int(worst["float_edits"]) == float(worst["cost"])
