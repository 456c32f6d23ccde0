"""Arrays in .npz files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from runner.dataset.item import ONLY_INPUT
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import DatasetError


def saved(tmp_path: Path, **arrays: object) -> str:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_items_are_the_stored_rows_as_float32(tmp_path: Path) -> None:
    x, y = np.arange(24, dtype=np.int16).reshape(4, 2, 3), np.array([3, 1, 0, 2], np.uint8)
    data = NpzDataset(saved(tmp_path, x=x, y=y), ArrayPreprocess(scale=0.5, mean=1.0))
    item = data.item(2)
    assert len(data) == 4 and data.describe() == "data" and data.name(2) == "data.npz[2]"
    assert item.label == 0 and isinstance(item.label, int)
    assert item.arrays[ONLY_INPUT].dtype == np.float32
    assert np.array_equal(item.arrays[ONLY_INPUT], x[2] * 0.5 - 1)


def test_labels_are_optional(tmp_path: Path) -> None:
    data = NpzDataset(saved(tmp_path, x=np.zeros((2, 3))))
    assert data.label(0) is None and data.item(1).label is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"z": np.zeros(3)}, r"has no array 'x'; it holds z\.", id="no x"),
        pytest.param({}, r"has no array 'x'; it holds nothing\.", id="no array"),
        pytest.param({"x": np.float32(1)}, r"x has shape \[\]; expected at least one item", id="scalar"),
        pytest.param({"x": np.zeros((0, 3))}, r"x has shape \[0, 3\]; expected at least one item", id="empty"),
        pytest.param({"x": np.array(["a", "b"])}, r"x is <U1; expected numbers", id="text"),
        pytest.param({"x": np.zeros(2, complex)}, r"x is complex128; expected numbers", id="complex"),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": np.zeros(2, int)},
            r"y is int64 of shape \[2\]; expected 3 class numbers",
            id="too few labels",
        ),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": np.zeros(3)},
            r"y is float64 of shape \[3\]; expected 3 class",
            id="float labels",
        ),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": np.eye(3, dtype=int)},
            r"y is int64 of shape \[3, 3\]; expected 3",
            id="one-hot",
        ),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": np.array([1, -1, -2])},
            r"y\[1\] is -1; expected 0 or more",
            id="negative label",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.path: .*data\.npz:? " + message):
        NpzDataset(saved(tmp_path, **arrays))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.path: .*gone\.npz does not exist; expected a \.npz file"):
        NpzDataset(str(tmp_path / "gone.npz"))


def compressed(tmp_path: Path) -> bytes:
    path = tmp_path / "good.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(60, 60)))
    return path.read_bytes()


def single_array(tmp_path: Path) -> bytes:
    np.save(tmp_path / "array.npy", np.zeros(3))
    return (tmp_path / "array.npy").read_bytes()


def objects(tmp_path: Path) -> bytes:
    np.savez(tmp_path / "objects.npz", x=np.array([{}, None], object))
    return (tmp_path / "objects.npz").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"hello", id="text"),
        pytest.param(lambda _: pickle.dumps([1, 2]), id="pickle"),
        pytest.param(single_array, id="one .npy"),
        pytest.param(objects, id="objects"),
        pytest.param(lambda folder: compressed(folder)[:2000], id="cut"),
        pytest.param(lambda folder: (d := compressed(folder))[:200] + bytes(200) + d[400:], id="damaged"),
    ],
)
def test_file_that_is_no_npz_is_named(tmp_path: Path, content: object) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content(tmp_path))
    with pytest.raises(DatasetError, match=r"dataset\.path: .*data\.npz cannot be read as \.npz: "):
        NpzDataset(str(path))


def test_fingerprints_change_with_content_type_and_preprocessing_only(tmp_path: Path) -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0, 1])

    def fingerprint(x: np.ndarray, y: np.ndarray | None, **options: object) -> str:
        arrays = {"x": x} if y is None else {"x": x, "y": y}
        return NpzDataset(saved(tmp_path, **arrays), ArrayPreprocess(**options)).fingerprint(0)

    first = fingerprint(x, y)
    os.utime(tmp_path / "data.npz", (1, 1))
    assert NpzDataset(str(tmp_path / "data.npz")).fingerprint(0) == first
    changed = x.copy()
    changed[1] += 1
    assert fingerprint(changed, y) == first  # another item
    assert fingerprint(x, y + 1) == fingerprint(x, None) == first  # another label
    others = {
        fingerprint(x + 1, y),
        fingerprint(x.view(np.int32), y),
        fingerprint(x.reshape(2, 3, 1), y),
        fingerprint(x, y, scale=2.0),
    }
    assert len(others) == 4 and first not in others


def test_stored_type_stays_where_nothing_is_scaled(tmp_path: Path) -> None:
    x = np.array([[2**24 + 1], [7]], np.int64)
    assert NpzDataset(saved(tmp_path, x=x)).item(0).arrays[ONLY_INPUT].dtype == np.int64
    assert NpzDataset(saved(tmp_path, x=x)).item(0).arrays[ONLY_INPUT].tolist() == [2**24 + 1]


def test_several_inputs_are_named_arrays(tmp_path: Path) -> None:
    path = saved(tmp_path, ids=np.array([[1, 2], [3, 4]], np.int32), mask=np.ones((2, 2), bool), y=np.array([0, 1]))
    data = NpzDataset(path, inputs={"input_ids": "ids", "attention_mask": "mask"})
    item = data.item(1)
    assert item.label == 1 and {name: a.dtype.name for name, a in item.arrays.items()} == {
        "input_ids": "int32",
        "attention_mask": "bool",
    }
    assert item.arrays["input_ids"].tolist() == [3, 4]
    with pytest.raises(DatasetError, match=r"has no array 'token'; it holds ids, mask, y\."):
        NpzDataset(path, inputs={"input_ids": "token"})


def test_file_is_read_once_for_as_long_as_it_is_used(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.zeros((4, 3)))
    first, second = NpzDataset(path), NpzDataset(path)
    assert first._table._arrays[ONLY_INPUT] is second._table._arrays[ONLY_INPUT]
    saved(tmp_path, x=np.ones((4, 3, 2)))
    assert NpzDataset(path).item(0).arrays[ONLY_INPUT].tolist() == np.ones((3, 2)).tolist()


def test_a_file_of_another_kind_is_told_as_one_and_not_how_to_run_what_is_in_it(tmp_path):
    (tmp_path / "data.npz").write_text("a line of text\n")
    with pytest.raises(
        DatasetError, match=r"data\.npz cannot be read as \.npz: it is of another kind, or holds Python objects"
    ):
        len(NpzDataset(str(tmp_path / "data.npz")))
