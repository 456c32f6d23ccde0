"""How walks are counted, on functions whose calls are plain to see."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.process import ROOT, python
from benchmarks.walks import Walk, follow, import_edges, main


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


def test_what_reads_like_a_field_or_a_line_of_its_function_is_no_step(tmp_path: Path) -> None:
    (tmp_path / "value.py").write_text(
        "class Value:\n    @property\n    def size(self):\n        return 1\n\n    def area(self):\n        return 1\n"
    )
    (tmp_path / "hall.py").write_text(
        "def through(value):\n    value.size\n    [value.size for _ in range(3)]\n    return (lambda: value.area())()\n"
    )
    hall, value = loaded(tmp_path / "hall.py"), loaded(tmp_path / "value.py").Value()
    followed = follow(tmp_path, hall.through.__code__, lambda: hall.through(value))
    assert followed.calls == [("hall.py", True), ("value.py", True)]


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


@pytest.fixture
def own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back what the command line is and where modules are looked for."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.usefixtures("own_interpreter")
def test_a_function_of_a_model_is_followed_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(ROOT / "model" / "mobilenet_v2_digits_qat.onnx")
    entry = "runner.convert.qdq.read:read_qdq"
    assert main([entry, "--model", model, "--under", "runner/convert/qdq/", "--steps"]) == 0
    whole, below, static, first, *rest = capsys.readouterr().out.splitlines()
    assert whole.startswith("runner/: ") and below.startswith("runner/convert/qdq/: ") and "imports" in static
    assert first == "runner/convert/qdq/read.py"
    passes = [f"runner/convert/qdq/{name}.py" for name in ("survey", "materialize", "convert", "bypass")]
    assert [rest.index(name) for name in passes] == sorted(rest.index(name) for name in passes)


def test_a_job_is_followed_with_the_options_behind_two_dashes() -> None:
    ended = python(["-m", "benchmarks.walks", "runner.app.main:console", "--", "--hydra-help"])
    assert ended.status == 0 and "Hydra" in ended.output and "runner/: " in ended.output
