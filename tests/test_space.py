"""Room on a disk, where a folder is still to be made."""

from __future__ import annotations

import shutil
from pathlib import Path

from runner.space import free_bytes, nearest_folder


def test_the_nearest_folder_is_the_path_or_what_exists_above_it(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path) == tmp_path
    assert nearest_folder(tmp_path / "a" / "b") == tmp_path
    assert nearest_folder(Path("/")) == Path("/")


def test_room_is_that_of_the_disk_that_would_be_written(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "not" / "yet")
    assert free is not None
    assert 0 <= free <= shutil.disk_usage(tmp_path).total
