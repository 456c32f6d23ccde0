"""What newcomers get wrong, and what they are told: by a look at the job, and by the job itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.app.conftest import Command, Tiny
from tests.app.doctor.mistakes import MISTAKES

_EXTRAS = {"launcher that is not installed": "hydra_plugins.hydra_joblib_launcher", "Ray that is not installed": "ray"}


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def skip_where_installed(name: str) -> None:
    module = _EXTRAS.get(name)
    try:
        there = module is not None and importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    if there:
        pytest.skip(f"{module} is installed")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_look_at_the_job_tells_the_mistake(name: str, run: Command, tiny: Tiny, tmp_path: Path) -> None:
    skip_where_installed(name)
    mistake = MISTAKES[name]
    ended = run("doctor", *mistake.make(tmp_path, tiny))
    told = in_one_line(ended.out)
    said = (mistake.says if mistake.doctor is None else mistake.doctor).format_map(Places(tmp_path, tiny))
    assert said in told, told
    assert ended.status == (2 if mistake.level == "fault" else 0), told
    assert (" 1 fault, " in told) == (mistake.level == "fault") or name == "opset too old", told
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_the_job_itself_tells_the_mistake(name: str, run: Command, tiny: Tiny, tmp_path: Path) -> None:
    skip_where_installed(name)
    mistake = MISTAKES[name]
    ended = run(*mistake.make(tmp_path, tiny))
    told = in_one_line(ended.err)
    said = (mistake.says if mistake.plain is None else mistake.plain).format_map(Places(tmp_path, tiny))
    assert said in told, told
    assert ended.status == 2 if mistake.level == "fault" else ended.status in (0, 3), told
    if mistake.level == "fault":
        assert told.count("error: ") == 1, told


class Places(dict[str, str]):
    """Folders of a test by their names in messages; other braces stay as they are."""

    def __init__(self, tmp: Path, tiny: Tiny) -> None:
        super().__init__(tmp=str(tmp), tiny=str(tiny.folder))

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"
