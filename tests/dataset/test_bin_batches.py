"""Raw batches as AMCT's command line describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.dataset.bin_batches import BinBatches
from runner.errors import ConfigError, DatasetError

SHAPES = "input:0:4,3,2,2;ids:4,5"


@pytest.fixture
def batches(tmp_path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Three batches of four items for two inputs, written so that names, not times, give the order."""
    rng = np.random.default_rng(0)
    photos, ids = rng.normal(size=(12, 3, 2, 2)).astype(np.float32), rng.integers(0, 2**40, (12, 5))
    for name, array in (("photos", photos), ("ids", ids)):
        (tmp_path / name).mkdir()
        for batch in (2, 0, 1):
            array[4 * batch : 4 * batch + 4].tofile(tmp_path / name / f"{name}_{batch}.bin")
        (tmp_path / name / "notes.txt").write_text("no batch")
    return f"{tmp_path / 'photos'};{tmp_path / 'ids'}", photos, ids


def test_batches_are_split_into_items_in_the_order_of_names(batches: tuple) -> None:
    folders, photos, ids = batches
    data = BinBatches(folders, SHAPES, "float32;int64")
    assert len(data) == 12 and data.describe() == "photos" and data.name(6) == "photos_1.bin[2]"
    for index in range(12):
        item = data.item(index)
        assert list(item.arrays) == ["input:0", "ids"] and item.label is None
        assert np.array_equal(item.arrays["input:0"], photos[index])
        assert item.arrays["ids"].dtype == np.int64 and np.array_equal(item.arrays["ids"], ids[index])
    assert len({data.fingerprint(index) for index in range(12)}) == 12


def test_first_batches_can_be_taken_alone(batches: tuple) -> None:
    data = BinBatches(batches[0], SHAPES, "float32;int64", batch_num=2)
    assert len(data) == 8 and np.array_equal(data.item(7).arrays["ids"], batches[2][7])


@pytest.mark.parametrize(
    "kind",
    ["float64", "float32", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"],
)
def test_every_type_of_amct_is_read(tmp_path: Path, kind: str) -> None:
    array = np.arange(6).reshape(3, 2).astype(kind)
    array.tofile(tmp_path / "0.bin")
    item = BinBatches(str(tmp_path), "x:3,2", kind).item(2)
    assert item.arrays["x"].dtype == kind and np.array_equal(item.arrays["x"], array[2])


def test_one_input_is_float32_unless_said_otherwise(tmp_path: Path) -> None:
    np.ones((2, 3), np.float32).tofile(tmp_path / "0.bin")
    assert BinBatches(str(tmp_path), "x:2,3").item(1).arrays["x"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_types": "float32;int24"}, "dataset.data_types: expected float64, float32, float16, int8"),
        ({"data_types": "float32;int24"}, "got 'int24'."),
        ({"data_types": "float32"}, "dataset.data_types: expected 2 parts separated by ';', one an input of"),
        ({"data_dir": "photos"}, "dataset.data_dir: expected 2 parts separated by ';', one an input of"),
        ({"input_shape": "x"}, "dataset.input_shape: expected 'name:n,c,h,w', several separated by ';', got 'x'."),
        ({"input_shape": "x:1,-1;ids:1,5"}, "got 'x:1,-1'."),
        ({"input_shape": ":4,3;ids:4,5"}, "got ':4,3'."),
        ({"input_shape": "a:4,3;a:4,5"}, "dataset.input_shape: 'a' is named twice."),
        ({"batch_axis": {"b": 1}}, "dataset.batch_axis: dataset.input_shape has no input 'b'. It has input:0, ids."),
        ({"batch_axis": {"ids": 2}}, "dataset.batch_axis.ids: expected null or an axis of [4, 5], got 2."),
        ({"batch_axis": {"ids": 1}}, "dataset.batch_axis: expected the same batch for every input that is split, got"),
        ({"batch_num": 0}, "dataset.batch_num: expected 1 or more, or null for all, got 0."),
    ],
)
def test_malformed_description_is_refused(batches: tuple, options: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        BinBatches(**{"data_dir": batches[0], "input_shape": SHAPES, "data_types": "float32;int64"} | options)
    assert message in str(error.value)


def test_too_few_files_are_refused_with_their_number(batches: tuple, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        BinBatches(batches[0], SHAPES, "float32;int64", batch_num=4)
    assert str(error.value) == (
        f"dataset.data_dir: {tmp_path}/photos holds 3 .bin files; expected 4, one a batch (dataset.batch_num)."
    )
    (tmp_path / "ids" / "ids_1.bin").unlink()
    with pytest.raises(
        DatasetError, match=r"as many \.bin files for every input, but .*photos holds 3, .*ids holds 2\."
    ):
        BinBatches(batches[0], SHAPES, "float32;int64")


def test_file_of_another_size_is_refused_with_both(batches: tuple, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        BinBatches(batches[0], SHAPES, "float32;int32")
    assert str(error.value) == (
        f"dataset.data_dir: {tmp_path}/ids/ids_0.bin has 160 bytes; expected 80, a batch of int32 4x5 for the input 'ids' "
        "(dataset.input_shape, dataset.data_types)."
    )


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.data_dir: .*/gone is no folder; expected one with a \.bin file"):
        BinBatches(str(tmp_path / "gone"), "x:1,2")
    with pytest.raises(DatasetError, match=r"holds no \.bin file; expected one a batch\."):
        BinBatches(str(tmp_path), "x:1,2")


def state_batches(folder: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Two batches of a row, a state of two layers and a scalar, as a chip is fed them."""
    arrays = {
        "x": np.arange(16.0).reshape(2, 1, 8),
        "h": np.arange(16.0).reshape(2, 2, 1, 4),
        "rate": np.array([5.0, 7.0]),
    }
    for name, array in arrays.items():
        (folder / name).mkdir()
        for batch in range(2):
            array[batch].astype(np.float32).tofile(folder / name / f"{batch}.bin")
    return ";".join(str(folder / name) for name in arrays), arrays


def test_files_whose_first_axes_differ_are_items_of_the_whole_shape(tmp_path: Path) -> None:
    folders, arrays = state_batches(tmp_path)
    data = BinBatches(folders, "x:1,8;h:2,1,4;rate:")
    assert len(data) == 2
    for index in range(2):
        item = data.item(index)
        assert {name: array.shape for name, array in item.arrays.items()} == {"x": (1, 8), "h": (2, 1, 4), "rate": ()}
        assert all(np.array_equal(item.arrays[name], arrays[name][index]) for name in arrays)
    assert data.fingerprint(0) != data.fingerprint(1)


def test_file_is_split_along_the_axis_that_is_said(tmp_path: Path) -> None:
    folders = []
    x, h = np.arange(24.0, dtype=np.float32).reshape(3, 8), np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    for name, array in (("x", x), ("h", h), ("t", np.float32([1, 2]))):
        (tmp_path / name).mkdir()
        array.tofile(tmp_path / name / "0.bin")
        folders.append(str(tmp_path / name))
    data = BinBatches(";".join(folders), "x:3,8;h:2,3,4;t:2", batch_axis={"h": 1, "t": None})
    assert len(data) == 3 and data.item(2).batch_axis == {"h": 1, "t": None}
    for index in range(3):
        arrays = data.item(index).arrays
        assert np.array_equal(arrays["x"], x[index]) and np.array_equal(arrays["h"], h[:, index])
        assert arrays["t"].tolist() == [1, 2]
    other = BinBatches(";".join(folders), "x:1,24;h:1,24;t:2", batch_axis={"t": None})
    assert len({data.fingerprint(index) for index in range(3)} | {other.fingerprint(0)}) == 4
