"""Arrays in .npy files stay on disk."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runner.dataset.item import ONLY_INPUT
from runner.dataset.npy import NpyDataset
from runner.dataset.npz import NpzDataset
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import ConfigError, DatasetError


def saved(folder: Path, **arrays: object) -> dict[str, str]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))
    return {name: str(folder / f"{name}.npy") for name in arrays}


def test_items_are_the_stored_rows(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    files = saved(tmp_path, x=x, y=np.array([3, 1, 0, 2], np.uint8))
    data = NpyDataset(files["x"], files["y"], preprocess=ArrayPreprocess(scale=0.5, mean=1.0))
    assert len(data) == 4 and data.describe() == "x" and data.name(2) == "x.npy[2]" and data.label(2) == 0
    with ThreadPoolExecutor(8) as pool:
        items = list(pool.map(data.item, range(4)))
    assert np.array_equal([item.arrays[ONLY_INPUT] for item in items], x * 0.5 - 1)
    assert NpyDataset(files["x"]).item(1).label is None


def test_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(4000, 100, 100))[3999] = 7
    tracemalloc.start()
    assert NpyDataset(str(path)).item(3999).arrays[ONLY_INPUT].mean() == 7
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # 160 MB are stored


def test_fingerprint_is_that_of_the_same_array_in_an_npz(tmp_path: Path) -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.array([0, 1])
    files = saved(tmp_path, x=x, y=y)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    npy, npz = NpyDataset(files["x"], files["y"]), NpzDataset(str(tmp_path / "a.npz"))
    assert [npy.fingerprint(i) for i in range(2)] == [npz.fingerprint(i) for i in range(2)]
    assert NpyDataset(files["x"]).fingerprint(0) == npy.fingerprint(0) != npy.fingerprint(1)


def test_several_inputs_keep_their_types(tmp_path: Path) -> None:
    ids = np.array([[2**24 + 1, 5], [2**24 + 3, 6]], np.int64)
    files = saved(tmp_path, ids=ids, photo=np.full((2, 3), 8, np.uint8))
    inputs = {"input:0": files["photo"], "ids": files["ids"]}
    data = NpyDataset(inputs=inputs, preprocess=ArrayPreprocess(scale=0.5), preprocess_inputs=["input:0"])
    arrays = data.item(1).arrays
    assert arrays["ids"].dtype == np.int64 and arrays["ids"].tolist() == [2**24 + 3, 6]
    assert arrays["input:0"].dtype == np.float32 and arrays["input:0"].tolist() == [4, 4, 4]
    with pytest.raises(ConfigError) as error:
        NpyDataset(inputs=inputs, preprocess_inputs=["id"])
    assert str(error.value) == "dataset.preprocess_inputs: no input is called 'id'; the inputs are input:0, ids."


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        pytest.param({"x": 1.0}, {"path": "x"}, r"dataset\.path: .*: the array has shape \[\]", id="scalar"),
        pytest.param({"x": ["a"]}, {"path": "x"}, r"dataset\.path: .*: the array is <U1; expected numbers", id="text"),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": np.zeros(2, int)},
            {"path": "x", "labels": "y"},
            r"dataset\.labels: .*y\.npy: the array is int64 of shape \[2\]; expected 3 class numbers",
            id="too few labels",
        ),
        pytest.param(
            {"x": np.zeros((3, 2)), "y": [0, -1, 2]},
            {"path": "x", "labels": "y"},
            r"the array\[1\] is -1; expected 0 or more",
            id="negative label",
        ),
        pytest.param(
            {"x": np.zeros((3, 2)), "z": np.zeros((2, 2))},
            {"inputs": {"a": "x", "b": "z"}},
            r"dataset\.inputs\.b: .*z\.npy: the array has 2 items, but dataset\.inputs\.a: .*x\.npy: the array has 3",
            id="not as many",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict, options: dict, message: str) -> None:
    files = saved(tmp_path, **arrays)
    given = {
        key: {name: files[file] for name, file in value.items()} if isinstance(value, dict) else files[value]
        for key, value in options.items()
    }
    with pytest.raises(DatasetError, match=message):
        NpyDataset(**given)


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "cut"])
def test_file_that_is_no_npy_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 100)))
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(DatasetError, match=r"dataset\.path: .*x\.npy cannot be read as \.npy: "):
        NpyDataset(str(path))


def test_missing_file_and_missing_option_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.labels: .*gone\.npy does not exist; expected a \.npy file"):
        NpyDataset(saved(tmp_path, x=np.zeros(3))["x"], str(tmp_path / "gone.npy"))
    with pytest.raises(
        ConfigError, match=r"dataset\.path: expected a \.npy file, or dataset\.inputs .*; got neither\."
    ):
        NpyDataset()
    with pytest.raises(ConfigError, match=r"got both\."):
        NpyDataset("x.npy", inputs={"a": "x.npy"})


@pytest.mark.parametrize("kind", ["|S0", "|V0", "<U0"])
def test_elements_of_no_bytes_are_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (4, 2), }}\n".encode()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(64))
    with pytest.raises(
        DatasetError, match=r"x\.npy cannot be read as \.npy: its elements are of the type .*, which has no bytes"
    ):
        NpyDataset(str(tmp_path / "x.npy"))
