"""``doctor``: everything that is wrong with a command in one list, and nothing written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runner.app.doctor.command import look
from runner.app.hydra_nodes import look_first
from runner.app.places import register_resolvers
from tests.app.conftest import Command, Tiny
from tests.command import digests


def test_a_sound_job_has_no_fault_and_nothing_is_written(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    ended = run("doctor", *tiny.options())
    assert ended.status == 0, ended.out
    assert ended.out.splitlines()[-1].startswith("0 faults, ")
    assert not list(tmp_path.iterdir())


def test_the_word_is_short_for_the_key_wherever_it_stands(run: Command, tiny: Tiny) -> None:
    def without_figures(out: str) -> list[str]:
        return [line for line in out.splitlines() if not line[8:].startswith(("memory", "time", "disk", " "))]

    outs = [
        run(*arguments).out
        for arguments in (
            ("doctor", *tiny.options()),
            (*tiny.options(), "doctor"),
            (*tiny.options(), "doctor=true"),
            (*tiny.options(), "++doctor=TRUE"),
        )
    ]
    assert len({tuple(without_figures(out)) for out in outs}) == 1


def test_every_wrong_option_is_told_and_later_checks_go_on(run: Command, tiny: Tiny) -> None:
    ended = run("doctor", *tiny.options(target_loss=-1, seed="x", verify__count=0), "target_lss=3", "observer.foo=1")
    assert ended.status == 2
    told = " ".join(ended.out.split())
    for said in (
        "target_lss: no such option",
        "observer.foo: no such option",
        "target_loss: expected 0 or more",
        "seed: expected a whole number, got 'x'",
        "verify.count: expected 1 or more",
    ):
        assert said in told, said
    assert "onnxruntime loads; takes x" in told
    assert "5 faults" in told


def test_model_and_data_that_are_missing_are_both_told(run: Command, tiny: Tiny) -> None:
    ended = run("doctor", *tiny.options(model__path="absent.onnx", dataset__path="absent.npz"))
    told = " ".join(ended.out.split())
    assert "model.path: absent.onnx does not exist" in told
    assert "dataset.path: absent.npz does not exist" in told
    assert "not checked onnx.checker, onnxruntime, layers, target, data, selection, items," in told
    assert "time: they need what is at fault above" in told
    assert ended.status == 2


def test_results_that_are_there_stay_as_they_are(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    assert run(*tiny.options()).status == 0
    before = digests(tmp_path), sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
    ended = run("doctor", *tiny.options())
    assert "the results there would be replaced" in " ".join(ended.out.split())
    assert before == (digests(tmp_path), sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*")))


def test_each_job_of_a_sweep_is_looked_at_and_what_is_the_same_told_once(
    run: Command, tiny: Tiny, tmp_path: Path
) -> None:
    ended = run("doctor", "-m", *tiny.options(target_loss="90,-2", seed="0,1"))
    assert ended.status == 2
    assert ended.out.count("target_loss: expected 0 or more") == 1
    assert [line for line in ended.out.splitlines() if line.startswith("target_loss=")] == [
        "target_loss=90 seed=0:",
        "target_loss=90 seed=1:",
        "target_loss=-2 seed=0:",
        "target_loss=-2 seed=1:",
    ]
    assert ended.out.count("onnxruntime") == 1
    assert not list(tmp_path.iterdir())


def test_a_job_of_a_sweep_is_named_by_what_differs_alone(run: Command, tiny: Tiny) -> None:
    ended = run("doctor", "-m", *tiny.options(seed="0,1"), "verbose=true", "layers=[ ]")
    assert [line for line in ended.out.splitlines() if line.endswith(":")] == ["seed=0:", "seed=1:"]


def test_no_line_is_longer_than_80_columns_but_for_what_is_copied(run: Command, tiny: Tiny) -> None:
    ended = run("doctor", *tiny.options(target_loss=-1, model__path="absent.onnx"))
    for line in ended.out.splitlines():
        assert len(line) <= 80 or len(line.split()[-1]) > 80 - len("warning  float figure "), line


def test_json_holds_the_same_findings_in_one_line(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    register_resolvers()
    look_first()
    assert look(tiny.options(seed="x", skip_layers="[none]"), "runner", as_values=sys.stdout) == 2
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["faults"] == sum(one["level"] == "fault" for one in found["findings"]) == 2
    assert found["warnings"] == sum(one["level"] == "warning" for one in found["findings"])
    assert {one["key"] for one in found["findings"] if one["level"] == "fault"} == {"seed", "skip_layers"}
    assert all(set(one) == {"check", "level", "what", "got", "expected", "key", "advice"} for one in found["findings"])
    assert line.isprintable()


@pytest.mark.parametrize("asked", ["json=true", "json=True", "++json=TRUE"])
def test_json_is_asked_for_as_hydra_reads_it(asked: str, run: Command, tiny: Tiny) -> None:
    ended = run("doctor", *tiny.options(), asked)
    assert json.loads(ended.out)["faults"] == 0


def test_what_a_class_of_ones_own_prints_is_no_line_of_json(run: Command, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "loud_strategy.py").write_text(
        "from runner.search.greedy import Greedy\n"
        "class Loud(Greedy):\n"
        "    def __init__(self) -> None:\n"
        "        super().__init__()\n"
        "        print('loud')\n"
    )
    (tmp_path / "own" / "strategy").mkdir(parents=True)
    (tmp_path / "own" / "strategy" / "loud.yaml").write_text("_target_: loud_strategy.Loud\n")
    ended = run("doctor", "--config-dir", str(tmp_path / "own"), *tiny.options(), "strategy=loud", "json=true")
    assert json.loads(ended.out)["faults"] == 0
    assert ended.err.startswith("loud\n")


def test_a_model_of_ones_own_on_the_shipped_images_is_told_so(run: Command, tiny: Tiny) -> None:
    (own,) = (option for option in tiny.options() if option.startswith("model.path="))
    told = " ".join(run("doctor", "model=file", own, "tracking=none").out.split())
    assert "warning dataset: no data was named, so the shipped digits are taken" in told
    assert "Name your own: dataset=image_folder, npz, coco, …" in told
    assert "no data was named" not in run("doctor", "tracking=none").out
