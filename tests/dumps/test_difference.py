"""The numbers between two tensors, against numpy's on the whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from runner.dumps import difference as module
from runner.dumps.difference import difference
from tests.data import normal_items


def test_numbers_are_those_of_the_whole_tensors_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 7)
    f, q = normal_items(2, 5, 9).astype(np.float64)
    q = np.where(np.arange(9) % 2, f, f + 0.01 * q).astype(np.float32)
    f = f.astype(np.float32)
    found = difference(f, q)
    a, b = f.ravel().astype(np.float64), q.ravel().astype(np.float64)
    assert found.max_abs == np.abs(a - b).max()
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-12)
    assert found.sqnr_db == pytest.approx(10 * np.log10((a @ a) / ((a - b) @ (a - b))))
    assert found.equal == np.mean(a == b)


def test_equal_tensors_have_no_ratio_and_differ_by_nothing() -> None:
    x = normal_items(1, 8)
    assert difference(x, x.copy()) == module.Difference(0.0, pytest.approx(1.0), None, 1.0)
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))) == module.Difference(0.0, 1.0, None, 1.0)
    assert difference(np.zeros(3), np.zeros(3)).cosine == 1.0


def test_infinities_and_nan_in_the_same_places_are_equal() -> None:
    x = np.array([1.0, np.inf, -np.inf, np.nan])
    assert difference(x, x.copy()) == module.Difference(0.0, None, None, 1.0)


def test_infinity_on_one_side_only_has_no_numbers_but_the_share() -> None:
    found = difference(np.array([1.0, 2.0]), np.array([1.0, np.inf]))
    assert found == module.Difference(None, None, None, 0.5)
