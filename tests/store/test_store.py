"""Entries come back bit for bit or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from runner.store.store import Entry, Store

KEY, OTHER = "ab" + 62 * "0", "cd" + 62 * "1"
ARRAYS = {
    "a/b": np.array([[np.nan, -0.0, 1e-45]], np.float32),
    "": np.arange(6, dtype=np.int8).reshape(2, 3),
    "none": np.zeros((0, 4)),
}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "cache", 10_000_000, warn=warnings.append)


def again(store: Store, **options: object) -> Store:
    """Return the store as the next process finds it."""
    return Store(store.root, 10_000_000, **{"warn": store._warn, **options})


def file(store: Store, key: str = KEY) -> Path:
    return store.root / key[:2] / key


def test_entry_comes_back_bit_for_bit(store: Store) -> None:
    values = {"x": [1, 0.1, None, "猫"], "nested": {"y": True}}
    store.put(KEY, Entry(values, ARRAYS))
    entry = again(store).get(KEY)
    assert entry is not None and entry.values == values
    assert list(entry.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        got = entry.arrays[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


ONE = np.arange(100, dtype=np.uint8).reshape(4, 25)


@pytest.mark.parametrize(
    "array",
    [ONE, np.asfortranarray(ONE), ONE[::2, ::-3], np.float32(2.5), np.zeros((3, 0)), ONE[0].astype(">i4")],
    ids=["plain", "columns first", "strided", "scalar", "empty", "big end first"],
)
def test_array_comes_back_bit_for_bit_and_cannot_be_written(store: Store, array: np.ndarray) -> None:
    store.put_array(KEY, array)
    fresh = again(store)
    for _ in range(2):  # checked, then trusted
        got = fresh.array(KEY)
        assert got is not None and (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert np.array_equal(got, np.load(file(store)))
        with pytest.raises(ValueError, match="read-only"):
            got[...] = 1


def test_entry_that_is_no_single_array_is_made_again(store: Store, warnings: list[str]) -> None:
    store.put(KEY, Entry(1))
    assert store.array(KEY) is None and len(warnings) == 1 and not file(store).exists()


def test_what_was_never_kept_is_none(store: Store) -> None:
    assert store.get(KEY) is None and store.array(KEY) is None
    assert not store.root.exists()


def test_objects_are_not_kept(store: Store) -> None:
    store.put(KEY, Entry(None, {"x": np.array([{}], object)}))
    assert not file(store).exists()


DAMAGE = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "one bit": lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
    "digest": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "longer": lambda data: data + b"x",
    "something else": lambda data: b"not an entry" * 10,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["entry", "array"])
def test_damaged_entry_is_removed_with_a_warning_and_can_be_made_again(
    store: Store, warnings: list[str], kind: str, damage: str
) -> None:
    def kept() -> object:
        return again(store).get(KEY) if kind == "entry" else again(store).array(KEY)

    def keep() -> None:
        store.put(KEY, Entry(1)) if kind == "entry" else store.put_array(KEY, np.arange(9))

    keep()
    file(store).write_bytes(DAMAGE[damage](file(store).read_bytes()))
    assert kept() is None
    assert warnings == [f"cache: {file(store)} is corrupted; it is removed and made again."]
    assert not file(store).exists()
    keep()
    assert kept() is not None and len(warnings) == 1


def test_sound_bytes_of_another_kind_are_no_entry(store: Store, warnings: list[str]) -> None:
    store.put_array(KEY, np.arange(9))
    assert again(store).get(KEY) is None and len(warnings) == 1


@pytest.mark.parametrize("kind", ["entry", "array"])
def test_sound_entry_under_the_name_of_another_is_none(store: Store, warnings: list[str], kind: str) -> None:
    other = 64 * "0"
    store.put(KEY, Entry(1)) if kind == "entry" else store.put_array(KEY, np.arange(9))
    place = store.root / other[:2] / other
    place.parent.mkdir(exist_ok=True)
    file(store).rename(place)
    fresh = again(store)
    assert (fresh.get(other) if kind == "entry" else fresh.array(other)) is None
    assert warnings == [f"cache: {place} is corrupted; it is removed and made again."] and not place.exists()


def test_refresh_takes_nothing_old_but_its_own(store: Store) -> None:
    store.put(KEY, Entry("old"))
    fresh = again(store, refresh=True)
    assert fresh.get(KEY) is None
    fresh.put(KEY, Entry("new"))
    assert fresh.get(KEY).values == "new"
    assert again(store).get(KEY).values == "new"


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 10_000)
    keys = [f"{i:02x}" + 62 * "0" for i in range(4)]
    for age, key in enumerate(keys[:3]):
        store.put_array(key, np.zeros(2500, np.uint8))
        os.utime(file(store, key), (1000 + age, 1000 + age))
    store.array(keys[0])  # unused for longest, but for this
    fresh = Store(tmp_path, 10_000)
    assert fresh.array(keys[0]) is not None
    fresh.put_array(keys[3], np.zeros(3500, np.uint8))
    fresh.trim()
    assert [file(store, key).exists() for key in keys] == [True, False, True, True]


def test_folder_stays_within_its_bound_while_it_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path, 100_000)
    for index in range(100):
        store.put_array(f"{index:02x}" + 62 * "0", np.zeros(5000, np.uint8))
        assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 100_000 * 9 / 8 + 10_000


def test_entry_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, 1000)
    store.put_array(KEY, np.zeros(2000, np.uint8))
    assert not file(store).exists()


def test_what_killed_processes_left_is_removed_after_a_while(store: Store) -> None:
    store.put(KEY, Entry(1))
    old, new = file(store).parent / "tmpold.part", file(store).parent / "tmpnew.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.trim()
    assert not old.exists() and new.exists() and store.get(KEY) is not None


def test_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    told: list[str] = []
    store = Store(tmp_path / "cache", 1000, warn=told.append)
    for key in (KEY, OTHER):
        store.put(key, Entry(1))
        assert store.get(key) is None
    assert told == [f"cache: {tmp_path}/cache cannot be written (Not a directory); nothing more is kept there."]


def test_array_that_another_job_removed_is_none(store: Store) -> None:
    store.put_array(KEY, np.arange(4))
    file(store).unlink()
    assert store.array(KEY) is None


def test_several_threads_may_write_and_read_one_entry(store: Store, warnings: list[str]) -> None:
    array, wrong = np.arange(10_000), []

    def work() -> None:
        for _ in range(20):
            store.put_array(KEY, array)
            got = again(store).array(KEY)
            if got is None or not np.array_equal(got, array):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and warnings == []
    assert [path.name for path in file(store).parent.iterdir()] == [KEY]
