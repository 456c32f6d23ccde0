"""Names of a sweep's jobs: short, one folder each, told apart."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.app.sweep.label import job_label, short_keys, without_common_folder

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"target_loss": "0.1"}, "target_loss=0.1"),
        ({}, "job"),
        ({"metric": "top1", "target_loss": "0.5"}, "metric=top1,target_loss=0.5"),
        ({"model.name": "a b"}, "model.name=a_b"),
        ({"dataset.preprocess.mean": "[1,2,3]", "seed": "1"}, "dataset.preprocess.mean=_1,2,3_,seed=1"),
        ({"dataset.images": "数据/集"}, "dataset.images=数据_集"),
        ({"dataset.images": '<b>"x"</b>'}, "dataset.images=_b__x___b_"),
    ],
)
def test_label_says_the_options(options: dict[str, str], label: str) -> None:
    assert job_label(options) == label


def test_keys_lose_their_sections_before_anything_is_cut() -> None:
    options = {"correction.rounding": "compensated", "correction.bias": "sequential", "quant": "best"}
    assert job_label(options) == "rounding=compensated,bias=sequential,quant=best"


def test_keys_that_would_become_one_keep_their_sections() -> None:
    options = {"calibration.count": "1", "evaluation.count": "2", "observer/x": "3"}
    assert short_keys(options) == {"calibration.count": "1", "evaluation.count": "2", "x": "3"}


def test_long_labels_are_cut_and_stay_apart() -> None:
    first, second = job_label({"dataset.images": "a" * 70 + "b"}), job_label({"dataset.images": "a" * 70 + "c"})
    assert first != second
    assert {len(first), len(second)} == {60}
    assert first[:51] == second[:51] == ("images=" + "a" * 70)[:51]


@given(st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_label_is_always_the_name_of_one_folder(options: dict[str, str]) -> None:
    label = job_label(options)
    assert 1 <= len(label) <= 60
    assert re.fullmatch(r"[\w.=,+-]+", label)
    assert len(f"10000_{label}".encode()) < 255


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), min_size=1, unique=True))
def test_paths_lose_what_os_path_says_is_common_and_stay_apart(paths: list[str]) -> None:
    short = without_common_folder(paths)
    assert len(set(short)) == len(paths)
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    assert [os.path.join(common, one) for one in short] == paths
    assert os.path.commonpath([os.path.dirname(one) for one in short]) == ""
