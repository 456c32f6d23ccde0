"""Worked out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.store.stage import Codec, cached, kept
from runner.store.store import Entry, Store

KEY = "ab" + 62 * "0"
NUMBERS: Codec[list[int]] = Codec(Entry, lambda entry: [int(value) for value in entry.values])


def test_result_is_computed_once(tmp_path: Path) -> None:
    made: list[int] = []
    results = [cached(Store(tmp_path, 10_000), KEY, lambda: made.append(1) or [1, 2], NUMBERS) for _ in range(3)]
    assert results == [[1, 2]] * 3 and made == [1]


@pytest.mark.parametrize("store", [True, False], ids=["no key", "no store"])
def test_without_store_or_key_it_is_computed_each_time(tmp_path: Path, store: bool) -> None:
    made: list[int] = []
    for _ in range(2):
        cached(
            Store(tmp_path, 10_000) if store else None, None if store else KEY, lambda: made.append(1) or [1], NUMBERS
        )
    assert made == [1, 1] and list(tmp_path.iterdir()) == []


def test_failure_is_not_kept(tmp_path: Path) -> None:
    def failing() -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(Store(tmp_path, 10_000), KEY, failing, NUMBERS)
    assert cached(Store(tmp_path, 10_000), KEY, lambda: [3], NUMBERS) == [3]


def test_entry_that_the_codec_cannot_read_is_made_again(tmp_path: Path) -> None:
    told: list[str] = []
    Store(tmp_path, 10_000).put(KEY, Entry({"of": "another version"}))
    assert cached(Store(tmp_path, 10_000, warn=told.append), KEY, lambda: [3], NUMBERS) == [3]
    assert len(told) == 1 and "is corrupted" in told[0]
    assert Store(tmp_path, 10_000).get(KEY).values == [3]


def test_what_is_recalled_is_what_was_kept_and_else_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, 10_000)
    assert kept(store, KEY, NUMBERS) is kept(store, None, NUMBERS) is kept(None, KEY, NUMBERS) is None
    cached(store, KEY, lambda: [3], NUMBERS)
    assert kept(store, KEY, NUMBERS) == [3]
