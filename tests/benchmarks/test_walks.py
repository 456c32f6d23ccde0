"""How walks are counted, on functions whose calls are plain to see."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.walks import Walk, follow, import_edges


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Two files: ``hall`` calls ``room`` twice and itself in between."""
    (tmp_path / "room.py").write_text("def first():\n    pass\n\ndef second():\n    pass\n")
    (tmp_path / "hall.py").write_text(
        "def through(room):\n    room.first()\n    own()\n    room.second()\n    room.first()\n\ndef own():\n    pass\n"
    )
    return tmp_path


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_walk_counts_files_and_how_often_they_are_entered_again() -> None:
    walk = Walk.of(["a", "a", "b", "a", "c", "c", "b"])
    assert (walk.files, walk.rooms, walk.returns) == (("a", "b", "a", "c", "b"), 3, 2)


def test_reading_enters_a_function_once_and_running_as_often_as_it_is_called(house: Path) -> None:
    hall, room = loaded(house / "hall.py"), loaded(house / "room.py")

    def visits() -> None:
        room.second()  # before the entry: not followed
        hall.through(room)
        hall.own()  # after it

    followed = follow(house, hall.through.__code__, visits)
    assert followed.walk(once=True).files == ("hall.py", "room.py", "hall.py", "room.py")
    assert followed.walk(once=False).returns == 2
    assert [call for call, _ in followed.calls].count("room.py") == 3
    assert followed.walk(once=True, under="room").files == ("room.py",)


def test_threads_are_followed_too(house: Path) -> None:
    hall, room = loaded(house / "hall.py"), loaded(house / "room.py")

    def visits() -> None:
        thread = threading.Thread(target=hall.through, args=(room,))
        thread.start()
        thread.join()

    assert follow(house, hall.through.__code__, visits).walk(once=True).rooms == 2


def test_imports_between_files_are_counted_where_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "hall.py").write_text("import os\nfrom house.room import first\nfrom house import cellar\n")
    for name in ("room", "cellar", "__init__"):
        (tmp_path / "house" / f"{name}.py").write_text("")
    assert import_edges(tmp_path, "house") == {("house.hall", "house.room"), ("house.hall", "house.cellar")}
