"""Tables of images and numbers."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from runner.dataset.item import ONLY_INPUT
from runner.dataset.parquet import ParquetDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.errors import DatasetError
from tests.data import random_pixels


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(random_pixels(5, 4, seed)).save(stream, "PNG")
    return stream.getvalue()


def written(path: Path, *, rows: int = 2, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return str(path)


def photo(seed: int) -> np.ndarray:
    return random_pixels(5, 4, seed).astype(np.float32).transpose(2, 0, 1)


IMAGES = [png(seed) for seed in range(15)]
STRUCTS = [{"bytes": image, "path": f"{seed}.png"} for seed, image in enumerate(IMAGES)]


@pytest.mark.parametrize(
    "column", [IMAGES, STRUCTS, pa.array(IMAGES, pa.large_binary())], ids=["bytes", "structs", "large"]
)
def test_items_are_the_images_of_the_rows_from_any_thread(tmp_path: Path, column: Any) -> None:
    data = ParquetDataset(written(tmp_path / "a.parquet", image=column, label=list(range(15))))
    assert len(data) == 15 and data.describe() == "a" and data.name(7) == "a.parquet[7]" and data.label(7) == 7
    order = [14, 0, 7, 3, 11, 5] * 5
    with ThreadPoolExecutor(8) as pool:
        items = list(pool.map(data.item, order))
    for seed, item in zip(order, items, strict=True):
        assert item.label == seed and np.array_equal(item.arrays[ONLY_INPUT], photo(seed))


def test_files_of_a_folder_follow_one_another(tmp_path: Path) -> None:
    written(tmp_path / "b.parquet", image=IMAGES[5:8], label=[5, 6, 7])
    written(tmp_path / "a.parquet", image=IMAGES[:5], label=[0, 1, 2, 3, 4])
    data = ParquetDataset(str(tmp_path))
    assert [data.label(index) for index in range(8)] == list(range(8))
    assert [data.name(index) for index in (4, 5, 7)] == ["a.parquet[4]", "b.parquet[0]", "b.parquet[2]"]
    assert np.array_equal(data.item(6).arrays[ONLY_INPUT], photo(6))


def test_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    written(tmp_path / "b.parquet", image=[png(0)] * 2, label=[0, 1])
    os.mkfifo(tmp_path / "a.parquet")
    assert len(ParquetDataset(str(tmp_path))) == 2


def test_fingerprints_depend_on_bytes_and_preprocessing(tmp_path: Path) -> None:
    def fingerprints(images: list[bytes], labels: list[int], **options: Any) -> list[str]:
        path = written(tmp_path / "a.parquet", image=images, label=labels)
        data = ParquetDataset(path, preprocess=ImagePreprocess(**options))
        return [data.fingerprint(index) for index in range(len(data))]

    first = fingerprints(IMAGES[:3], [0, 1, 2])
    assert len(set(first)) == 3 and fingerprints(IMAGES[:3], [0, 1, 2]) == first
    changed = fingerprints([IMAGES[0], IMAGES[9], IMAGES[2]], [0, 1, 5])
    assert [a == b for a, b in zip(first, changed, strict=True)] == [True, False, True]
    assert not set(first) & set(fingerprints(IMAGES[:3], [0, 1, 2], scale=2.0))


def test_several_inputs_are_images_and_numbers_in_their_types(tmp_path: Path) -> None:
    ids = pa.array([[2**24 + 1, 2], [3, 4]], pa.list_(pa.int64()))
    path = written(tmp_path / "a.parquet", photo=IMAGES[:2], ids=ids, age=pa.array([7, 9], pa.int32()))
    data = ParquetDataset(path, label=None, inputs={"input:0": "photo", "ids": "ids", "age": "age"})
    item = data.item(0)
    assert item.label is None and np.array_equal(item.arrays["input:0"], photo(0))
    assert item.arrays["ids"].dtype == np.int64 and item.arrays["ids"].tolist() == [2**24 + 1, 2]
    assert item.arrays["age"].dtype == np.int32 and item.arrays["age"].shape == () and item.arrays["age"] == 7
    assert len({data.fingerprint(0), data.fingerprint(1)}) == 2
    again = data.item(0)
    assert again.arrays["ids"].tolist() == [2**24 + 1, 2] and np.array_equal(again.arrays["input:0"], photo(0))


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"img": IMAGES[:1]}, {}, r"dataset\.image: .* has no column 'image'; it has img\."),
        ({"image": IMAGES[:1]}, {}, r"dataset\.label: .* no column 'label'; it has image\. Set dataset\.label=null"),
        ({"image": ["a"], "label": [0]}, {}, r"dataset\.image: .*: the column 'image' is string; expected image bytes"),
        (
            {"image": IMAGES[:1], "label": ["a"]},
            {},
            r"dataset\.label: .*: the column 'label' is string; expected whole",
        ),
        ({"image": IMAGES[:2], "label": [0, None]}, {}, r"dataset\.label: the column 'label' is null in 1 rows"),
        ({"image": IMAGES[:2], "label": [0, -3]}, {}, r"dataset\.label: a\.parquet\[1\] is -3; expected 0 or more"),
        (
            {"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())},
            {},
            r"dataset\.path: .* holds no row",
        ),
        (
            {"x": IMAGES[:1]},
            {"inputs": {"a": "y"}, "label": None},
            r"dataset\.inputs\.a: .* has no column 'y'; it has x",
        ),
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, columns: dict, options: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        ParquetDataset(written(tmp_path / "a.parquet", **columns), **options)


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    lists = pa.array([[1, 2], [3, None]], pa.list_(pa.int32()))
    data = ParquetDataset(
        written(tmp_path / "a.parquet", image=[b"no image", None], n=lists), label=None, inputs={"a": "image", "b": "n"}
    )
    with pytest.raises(
        DatasetError, match=r"dataset\.path: a\.parquet\[0\], column 'image' cannot be read as an image: "
    ):
        data.item(0)
    with pytest.raises(DatasetError, match=r"dataset\.path: a\.parquet\[1\], column 'image' is null; expected a value"):
        data.item(1)
    numbers = ParquetDataset(str(tmp_path / "a.parquet"), label=None, image="n")
    with pytest.raises(
        DatasetError, match=r"a\.parquet\[1\], column 'n' is ragged or holds null; expected lists of one"
    ):
        numbers.item(1)


@pytest.mark.parametrize("content", [b"", b"PAR1 no", None], ids=["empty", "text", "cut"])
def test_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    written(path, image=IMAGES, label=list(range(15)))
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(DatasetError, match=r"dataset\.path: .*a\.parquet cannot be read as Parquet: "):
        ParquetDataset(str(path))


def test_missing_file_and_empty_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.parquet", tmp_path):
        with pytest.raises(DatasetError, match=r"is no Parquet file; expected one, or a folder of \*\.parquet files"):
            ParquetDataset(str(path))
