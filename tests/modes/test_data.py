"""Which items a job uses, and how its result names them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.events import DataUsed
from runner.graph.model_file import load_model
from runner.modes.data import calibration_part, describe_source, evaluation_part
from tests.small_data import Items, conv_gemm, normal_items, save


def test_evaluation_takes_all_items_unless_told_how_many() -> None:
    data = Items(normal_items(7, 2))
    assert evaluation_part(data, None).indices == [0, 1, 2, 3, 4, 5, 6]
    assert evaluation_part(data, 3).indices == [0, 2, 4]


@pytest.mark.parametrize("count", [0, 8])
def test_wrong_counts_are_refused_with_their_key(count: int) -> None:
    data = Items(normal_items(7, 2))
    with pytest.raises(ConfigError, match=rf"evaluation\.count: expected 1 to 7 .* got {count}"):
        evaluation_part(data, count)
    with pytest.raises(ConfigError, match=rf"calibration\.count: expected 1 to 7 .* got {count}"):
        calibration_part(data, count)


def test_data_is_announced_with_its_use() -> None:
    heard: list[object] = []
    part = calibration_part(Items(normal_items(7, 2)), 3)
    part.announce("calibration", heard.append)
    assert heard == [DataUsed("items in memory", "calibration", 3, part.fingerprint)]


def test_source_names_the_model_and_counts_items_that_calibration_has_seen_by_content(tmp_path: Path) -> None:
    path = save(conv_gemm(), tmp_path / "m.onnx")
    x = normal_items(10, 2, 6, 6)
    elsewhere = Items(np.concatenate([normal_items(2, 2, 6, 6, seed=9), x[[4, 7]]]))
    source = describe_source("m", load_model(path), evaluation_part(Items(x), None), calibration_part(elsewhere, 4))
    assert (source.model, source.model_path, source.opset) == ("m", str(path), 13)
    assert source.model_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source.evaluation_items, source.calibration_items, source.overlap) == (10, 4, 2)


def test_source_without_calibration_overlaps_nothing(tmp_path: Path) -> None:
    model = load_model(save(conv_gemm(), tmp_path / "m.onnx"))
    source = describe_source("m", model, evaluation_part(Items(normal_items(3, 2)), None), None)
    assert (source.calibration_items, source.overlap) == (0, 0)
