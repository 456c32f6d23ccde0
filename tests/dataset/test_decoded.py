"""Each image is decoded once, by whichever job comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.dataset import decoded
from runner.dataset.class_tree import ClassTree
from runner.dataset.decoded import KeepsPixels
from runner.dataset.image_folder import ImageFolder
from runner.dataset.npz import NpzDataset
from runner.dataset.parquet import ParquetDataset
from runner.dataset.preprocess import ImagePreprocess
from runner.store.store import Store
from tests.data import random_pixels, write_image

COUNT = 5


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the images that are decoded, while the test runs."""
    seen: list[str] = []
    decode = decoded.decode

    def counted(source: bytes, preprocess: ImagePreprocess, title: str) -> Any:
        seen.append(title)
        return decode(source, preprocess, title)

    monkeypatch.setattr(decoded, "decode", counted)
    return seen


def images(folder: Path, side: int = 96) -> Path:
    (folder / "tree" / "class").mkdir(parents=True)
    for index in range(COUNT):
        write_image(folder / "tree" / "class" / f"{index}.png", random_pixels(side, side, index))
    table = {"image": [(folder / "tree" / "class" / f"{i}.png").read_bytes() for i in range(COUNT)]}
    pq.write_table(pa.table(table), folder / "images.parquet")
    return folder


KINDS: dict[str, Callable[..., Any]] = {
    "folder": lambda folder, preprocess: ImageFolder(str(folder / "tree" / "class"), None, preprocess),
    "tree": lambda folder, preprocess: ClassTree(str(folder / "tree"), None, preprocess),
    "parquet": lambda folder, preprocess: ParquetDataset(
        str(folder / "images.parquet"), label=None, preprocess=preprocess
    ),
}


def items(dataset: Any) -> list[np.ndarray]:
    return [dataset.item(index).arrays[""] for index in range(len(dataset))]


@pytest.mark.parametrize("kind", KINDS)
def test_later_job_decodes_nothing_and_sees_the_same_numbers(tmp_path: Path, kind: str, decodings: list[str]) -> None:
    images(tmp_path)
    preprocess = ImagePreprocess(crop=80, mean=3.0)
    expected = items(KINDS[kind](tmp_path, preprocess))
    assert len(decodings) == COUNT
    for job in range(3):
        dataset = KINDS[kind](tmp_path, preprocess)
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
        for _ in range(2):
            assert all(np.array_equal(a, b) for a, b in zip(items(dataset), expected, strict=True))
        assert len(decodings) == 2 * COUNT, f"job {job}"


def test_other_kinds_of_data_share_the_pixels_of_the_same_bytes(tmp_path: Path, decodings: list[str]) -> None:
    images(tmp_path)
    for kind in KINDS.values():
        dataset = kind(tmp_path, ImagePreprocess())
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
        items(dataset)
    assert len(decodings) == COUNT


@pytest.mark.parametrize(
    ("change", "again"),
    [({"crop": 90}, COUNT), ({"resize": 80}, COUNT), ({"channel_order": "bgr"}, COUNT), ({"mean": 7.0, "std": 2.0}, 0)],
    ids=["crop", "resize", "order", "numbers only"],
)
def test_other_pixels_are_decoded_anew_and_other_numbers_are_not(
    tmp_path: Path, decodings: list[str], change: dict[str, Any], again: int
) -> None:
    images(tmp_path)
    for settings in ({}, change):
        dataset = KINDS["folder"](tmp_path, ImagePreprocess(**settings))
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
        kept = items(dataset)
        assert all(
            np.array_equal(a, b)
            for a, b in zip(kept, items(KINDS["folder"](tmp_path, dataset.preprocess)), strict=True)
        )
    assert len(decodings) == COUNT + again + 2 * COUNT


def test_changed_file_is_decoded_again(tmp_path: Path, decodings: list[str]) -> None:
    images(tmp_path)
    for seed in (1, 99):
        write_image(tmp_path / "tree" / "class" / "1.png", random_pixels(96, 96, seed))
        dataset = KINDS["folder"](tmp_path, ImagePreprocess())
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
        items(dataset)
    assert len(decodings) == COUNT + 1
    assert np.array_equal(dataset.item(1).arrays[""], random_pixels(96, 96, 99).transpose(2, 0, 1))


def test_damaged_pixels_are_decoded_again_with_a_warning(tmp_path: Path, decodings: list[str]) -> None:
    images(tmp_path)
    told: list[str] = []
    for _ in range(2):
        dataset = KINDS["folder"](tmp_path, ImagePreprocess())
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000, warn=told.append))
        kept = items(dataset)
        path = next(p for p in (tmp_path / "cache").rglob("*") if p.is_file())
        path.write_bytes(path.read_bytes()[:-40])
    assert len(decodings) == COUNT + 1 and len(told) == 1
    assert np.array_equal(kept[2], random_pixels(96, 96, 2).transpose(2, 0, 1))


@pytest.mark.parametrize("most", [100_000, 30_000], ids=["room for three", "room for one"])
def test_store_that_is_too_small_costs_decoding_only(tmp_path: Path, most: int) -> None:
    images(tmp_path)
    dataset = KINDS["folder"](tmp_path, ImagePreprocess())
    dataset.keep_in(Store(tmp_path / "cache", most))
    for _ in range(2):
        for index, item in enumerate(items(dataset)):
            assert np.array_equal(item, random_pixels(96, 96, index).transpose(2, 0, 1))


def test_small_images_stay_in_memory(tmp_path: Path, decodings: list[str]) -> None:
    images(tmp_path, side=32)
    dataset = KINDS["folder"](tmp_path, ImagePreprocess())
    dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
    items(dataset), items(dataset)
    assert len(decodings) == COUNT and not (tmp_path / "cache").exists()


def test_jobs_side_by_side_share_one_store(tmp_path: Path) -> None:
    images(tmp_path)
    wrong: list[int] = []

    def job() -> None:
        dataset = KINDS["folder"](tmp_path, ImagePreprocess())
        dataset.keep_in(Store(tmp_path / "cache", 10_000_000))
        for _ in range(3):
            for index, item in enumerate(items(dataset)):
                if not np.array_equal(item, random_pixels(96, 96, index).transpose(2, 0, 1)):
                    wrong.append(index)

    threads = [threading.Thread(target=job) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len([p for p in (tmp_path / "cache").rglob("*") if p.is_file()]) == COUNT


def test_only_data_that_is_decoded_keeps_pixels(tmp_path: Path) -> None:
    images(tmp_path)
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    assert all(isinstance(kind(tmp_path, ImagePreprocess()), KeepsPixels) for kind in KINDS.values())
    assert not isinstance(NpzDataset(str(tmp_path / "x.npz")), KeepsPixels)
