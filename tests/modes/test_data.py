"""Which items a job uses, and how its result names them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from runner.errors import ConfigError, DatasetError
from runner.events import DataUsed
from runner.graph.model_file import load_model
from runner.modes.data import Split, calibration_subset, describe_source, evaluation_subset, split_data
from tests.data import Items, normal_items
from tests.models import conv_gemm, save


def test_evaluation_takes_all_items_unless_told_how_many() -> None:
    data = Items(normal_items(7, 2))
    assert evaluation_subset(data, None).indices == [0, 1, 2, 3, 4, 5, 6]
    assert evaluation_subset(data, 3).indices == [0, 2, 4]


@pytest.mark.parametrize("count", [0, 8])
def test_wrong_counts_are_refused_with_their_key(count: int) -> None:
    data = Items(normal_items(7, 2))
    with pytest.raises(ConfigError, match=rf"evaluation\.count: expected 1 to 7 .* got {count}"):
        evaluation_subset(data, count)
    with pytest.raises(ConfigError, match=rf"calibration\.count: expected 1 to 7 .* got {count}"):
        calibration_subset(data, count)


def test_data_is_announced_with_its_use() -> None:
    heard: list[object] = []
    part = calibration_subset(Items(normal_items(7, 2)), 3)
    part.announce("calibration", heard.append)
    assert heard == [DataUsed("items in memory", "calibration", 3, part.fingerprint)]


def test_source_names_the_model_and_counts_items_that_calibration_has_seen_by_content(tmp_path: Path) -> None:
    path = save(conv_gemm(), tmp_path / "m.onnx")
    x = normal_items(10, 2, 6, 6)
    elsewhere = Items(np.concatenate([normal_items(2, 2, 6, 6, seed=9), x[[4, 7]]]))
    source = describe_source(
        "m", load_model(path), split_data(evaluation_subset(Items(x), None), calibration_subset(elsewhere, 4), Split())
    )
    assert (source.model, source.model_path) == ("m", str(path))
    assert source.model_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source.evaluation_items, source.calibration_items, source.overlap) == (10, 4, 2)


def test_source_without_calibration_overlaps_nothing(tmp_path: Path) -> None:
    model = load_model(save(conv_gemm(), tmp_path / "m.onnx"))
    source = describe_source("m", model, split_data(evaluation_subset(Items(normal_items(3, 2)), None), None, Split()))
    assert (source.calibration_items, source.overlap) == (0, 0)


def test_parts_are_one_unless_asked_for() -> None:
    evaluation = evaluation_subset(Items(normal_items(10, 2)), None)
    parts = split_data(evaluation, calibration_subset(evaluation.dataset, 4), Split())
    assert parts.search is parts.report is evaluation
    assert (parts.held_out, parts.left_out) == (False, 0)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_disjoint_parts_share_no_content(share: float) -> None:
    x = normal_items(40, 2)
    x[17] = x[3]  # the same photo under two names
    x[18] = x[24]
    data = Items(x, list(range(40)))
    parts = split_data(
        evaluation_subset(data, None), calibration_subset(Items(x), 10), Split(disjoint=True, report=share)
    )
    assert parts.calibration is not None
    contents = [{tuple(x[index]) for index in part.indices} for part in (parts.calibration, parts.search, parts.report)]
    assert not contents[0] & contents[1] and not contents[0] & contents[2] and not contents[1] & contents[2]
    used = len(parts.search.indices) + len(parts.report.indices)
    assert used + parts.left_out == 40
    assert len(parts.report.indices) == max(1, int(share * (40 - 11)))  # 24 is a calibration item, so 18 goes too


def test_every_part_needs_items() -> None:
    data = Items(normal_items(4, 2))
    evaluation, calibration = evaluation_subset(data, None), calibration_subset(data, 4)
    with pytest.raises(DatasetError, match=r"split\.disjoint: all 4 evaluation items are calibration items too"):
        split_data(evaluation, calibration, Split(disjoint=True))
    with pytest.raises(DatasetError, match=r"split\.report: 1 of 1 items are kept for the report and no other is left"):
        split_data(evaluation_subset(Items(normal_items(1, 2)), None), None, Split(report=0.5))


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_share_is_below_one(share: float) -> None:
    with pytest.raises(ConfigError, match=rf"split\.report: expected a share .* got {share}"):
        Split(report=share)
