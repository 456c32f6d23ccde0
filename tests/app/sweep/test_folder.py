"""The folder of a sweep belongs to one sweep, which may go on in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.app.held_folder import release
from runner.app.sweep.folder import abandon, claim
from runner.app.sweep.plan import Plan, planned, read_plan
from runner.errors import ConfigError, OutputError
from tests.app.sweep.sweeps import finished, job_folder


def plan(*targets: str, **constants: str) -> Plan:
    """Return the plan of a sweep over targets."""
    given = [f"target_loss={','.join(targets)}", *(f"{key}={value}" for key, value in constants.items())]
    return planned(given, ["target_loss"], [{"target_loss": target, **constants} for target in targets], 1.0)


def test_plan_is_there_before_the_jobs_and_reads_back_as_it_was(tmp_path: Path) -> None:
    folder, lock = claim(tmp_path / "sweeps" / "friday", plan("0.1", "0.2", cache="none"), option="sweep.name")
    release(folder, lock)
    found = read_plan(folder)
    assert found == plan("0.1", "0.2", cache="none")
    assert [job.folder for job in found.jobs or ()] == ["0_target_loss=0.1", "1_target_loss=0.2"]


def test_sweeps_of_the_same_second_get_folders_side_by_side(tmp_path: Path) -> None:
    made = [claim(tmp_path / "2030-01-01_00-00-00", plan("1", "2"), option=None)[0].name for _ in range(3)]
    assert made == ["2030-01-01_00-00-00", "2030-01-01_00-00-00-2", "2030-01-01_00-00-00-3"]


def test_same_sweep_goes_on_whatever_says_where_and_how_it_runs(tmp_path: Path) -> None:
    for constants in ({"tracking": "none"}, {"cache": "none", "sweep.fail_fast": "true"}, {"engine.callers": "1"}):
        folder, lock = claim(tmp_path, plan("0.1", "0.2", **constants), option="sweep.name")
        job_folder(tmp_path / "0_target_loss=0.1", finished("met", 0)) if not any(tmp_path.glob("0_*")) else None
        release(folder, lock)


@pytest.mark.parametrize("other", [plan("0.1", "0.3"), plan("0.1"), plan("0.2", "0.1"), plan("0.1", "0.2", seed="1")])
def test_another_sweep_is_refused_with_both(tmp_path: Path, other: Plan) -> None:
    release(*claim(tmp_path, plan("0.1", "0.2"), option="sweep.name"))
    with pytest.raises(ConfigError) as caught:
        claim(tmp_path, other, option="sweep.name")
    words = f"sweep.name: {tmp_path} holds another sweep: target_loss=0.1,0.2. This one is: {' '.join(other.given)}. Give it"
    assert str(caught.value).startswith(words)
    assert read_plan(tmp_path) == plan("0.1", "0.2")


def test_sweep_whose_folders_would_be_called_otherwise_is_another(tmp_path: Path) -> None:
    def over(*caches: str) -> Plan:
        return planned([f"cache={','.join(caches)}"], ["cache"], [{"cache": cache} for cache in caches], 1.0)

    release(*claim(tmp_path, over("none", "local"), option="sweep.name"))
    with pytest.raises(ConfigError, match="holds another sweep"):
        claim(tmp_path, over("none", "refresh"), option="sweep.name")


def test_jobs_without_a_plan_are_another_sweeps(tmp_path: Path) -> None:
    job_folder(tmp_path / "0_a", finished("met", 0))
    with pytest.raises(ConfigError, match=r"hydra\.sweep\.dir: .* holds jobs of a sweep that cannot be told"):
        claim(tmp_path, plan("1", "2"), option="hydra.sweep.dir")


def test_sweep_that_is_under_way_has_its_folder_to_itself(tmp_path: Path) -> None:
    folder, lock = claim(tmp_path, plan("1", "2"), option="sweep.name")
    with pytest.raises(
        OutputError, match=r"a job writes there at this moment \(process \d+ on \S+, since .*sweep\.name\."
    ):
        claim(tmp_path, plan("1", "2"), option="sweep.name")
    release(folder, lock)
    release(*claim(tmp_path, plan("1", "2"), option="sweep.name"))


def test_folder_in_which_no_job_began_leaves_nothing_but_what_was_there(tmp_path: Path) -> None:
    abandon(*claim(tmp_path / "gone", plan("1", "2"), option="sweep.name"))
    assert not (tmp_path / "gone").exists()
    (tmp_path / "notes.txt").write_text("mine")
    abandon(*claim(tmp_path, plan("1", "2"), option="sweep.name"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_job_that_a_plan_does_not_have_is_named_by_what_varies(tmp_path: Path) -> None:
    made_up = planned(["a=interval(0,1)", "b=3"], ["a"], None, 1.0)
    release(*claim(tmp_path, made_up, option="sweep.name"))
    found = read_plan(tmp_path)
    assert found == made_up
    assert found.job(7, ["a=0.25", "b=3"]).folder == "7_a=0.25"
    assert re.fullmatch(r"0_b=3", planned(["b=3"], [], None, 1.0).job(0, ["b=3"]).folder)
