"""Which answers changed, in the order of their harm, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from runner.dataset.subset import Subset
from runner.evaluation.accuracy import TopK
from runner.evaluation.scores import Evaluation
from runner.modes.result import Comparison
from runner.report import caption_font
from runner.report.caption_font import default_font, drawable
from runner.report.contact_sheet import contact_sheet, picture
from runner.report.flips import Flip, flips, flips_csv
from tests.data import Items


def compare(labels: list[int | None], before: list[tuple[int, float]], after: list[tuple[int, float]]) -> Comparison:
    """Return a comparison of answers over the odd items of a dataset twice as long."""
    size = 2 * len(labels)
    data = Items(np.zeros((size, 1, 8, 8), np.float32), [label for label in labels for _ in range(2)])
    hits = [Evaluation({"top1": np.ones((len(labels), 1))}, np.array(answers)) for answers in (before, after)]
    return Comparison([TopK()], *hits, None, Subset(data, list(range(1, size, 2))))


def test_lost_answers_come_first_and_the_surest_of_them_before_the_rest() -> None:
    comparison = compare(
        [3, 3, 3, 3, None],
        [(3, 0.10), (3, 0.50), (1, 0.30), (2, 0.90), (0, 0.2)],
        [(4, 0.10), (5, 0.20), (3, 0.20), (2, 0.70), (1, 0.3)],
    )
    found = flips(comparison)
    assert found is not None
    assert [(flip.index, flip.effect) for flip in found] == [(3, "lost"), (1, "lost"), (9, "changed"), (5, "gained")]


def test_the_table_reads_back_with_a_name_that_holds_a_comma() -> None:
    comparison = compare([3], [(3, 0.125)], [(4, 0.5)])
    found = flips(comparison)
    assert found is not None
    (flip,) = found
    named = Flip(flip.index, 'a, "b".jpg', flip.label, flip.before, flip.after)
    rows = list(csv.DictReader(io.StringIO(flips_csv([named]))))
    assert rows == [
        {
            "item": "1",
            "name": 'a, "b".jpg',
            "label": "3",
            "effect": "lost",
            "float_answer": "3",
            "float_margin": "0.125000",
            "quantized_answer": "4",
            "quantized_margin": "0.500000",
        }
    ]


def test_a_model_without_classes_has_no_flips() -> None:
    scores = Evaluation({"top1": np.ones((1, 1))})
    assert flips(Comparison([TopK()], scores, scores, None, Subset(Items([]), []))) is None


def test_the_sheet_shows_what_the_model_saw() -> None:
    ramp = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    data = Items(np.stack([ramp, -ramp]), [3, 3])
    scores = [Evaluation({"top1": np.ones((2, 1))}, np.array(a)) for a in ([(3, 0.9), (3, 0.5)], [(1, 0.1), (2, 0.1)])]
    found = flips(Comparison([TopK()], *scores, None, Subset(data, [0, 1])))
    assert found is not None
    sheet = contact_sheet(found, data)
    assert sheet is not None
    image = np.asarray(Image.open(io.BytesIO(sheet)).convert("L"))
    # Two tiles side by side: the ramp, then the ramp turned round.
    assert image[12, 12] < 10 and image[165, 165] > 245
    assert image[12, 182] > 245 and image[165, 335] < 10


def test_a_name_that_the_font_cannot_write_is_told_by_the_items_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawable("IMG_0001 (a).jpg", default_font()) and not drawable("\u732b.jpg", default_font())
    monkeypatch.setattr(caption_font, "_system_fonts", tuple)
    data = Items(np.zeros((1, 1, 8, 8)), [3])
    scores = [Evaluation({"top1": np.ones((1, 1))}, np.array(a)) for a in ([(3, 0.9)], [(1, 0.1)])]
    found = flips(Comparison([TopK()], *scores, None, Subset(data, [0])))
    assert found is not None
    sheets = [
        contact_sheet([replace(found[0], name=name)], data)
        for name in ("\u732b.jpg", "item 0 (see flips.csv)", "a.jpg")
    ]
    assert sheets[0] == sheets[1] != sheets[2]


def test_a_name_that_a_spreadsheet_would_run_is_made_a_text() -> None:
    found = flips(compare([3], [(3, 0.125)], [(4, 0.5)]))
    assert found is not None
    (row,) = csv.DictReader(io.StringIO(flips_csv([replace(found[0], name="=cmd")])))
    assert row["name"] == "'=cmd"


@pytest.mark.parametrize("shape", [(10,), (4, 49, 10), (5, 20, 20), (2, 9)])
def test_what_is_no_image_gives_no_picture(shape: tuple[int, ...]) -> None:
    assert picture({"": np.zeros(shape)}) is None


@pytest.mark.parametrize("shape", [(1, 9, 12), (3, 9, 12), (9, 12, 3), (9, 12, 1), (9, 12)])
def test_one_or_three_channels_first_or_last_are_an_image(shape: tuple[int, ...]) -> None:
    image = picture({"": np.full(shape, 2.0)})
    assert image is not None
    assert image.size == (12, 9)


def test_several_inputs_give_no_picture() -> None:
    assert picture({"a": np.zeros((3, 9, 9)), "b": np.zeros((3, 9, 9))}) is None
