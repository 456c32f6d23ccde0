"""Slips of the command line: each is told with what to type, or is mended."""

from __future__ import annotations

import re

import pytest

from runner.app.arguments import arranged
from runner.errors import ConfigError
from tests.app.conftest import Command

SLIPS = {
    ("--target_loss", "0.2"): "Type target_loss=0.2.",
    ("--target_loss=0.2",): "Type target_loss=0.2.",
    ("--target-loss=0.2",): "Type target_loss=0.2.",
    ("-target_loss=0.2",): "Type target_loss=0.2.",
    ("target_loss", "=", "0.2"): "Type target_loss=0.2.",
    ("target_loss", "0.2"): "Type target_loss=0.2.",
    ("target_loss=", "0.2"): "Type target_loss=0.2.",
    ("target_loss", "=0.2"): "Type target_loss=0.2.",
    ("target_loss＝0.2",): "Type target_loss=0.2.",
    ("target_loss=0.1，0.2",): "Type target_loss=0.1,0.2.",
    ("target_loss=０.２",): "Type target_loss=0.2.",
    ("skip_layers=［a，b］",): "Type 'skip_layers=[a,b]'.",
    ("model.path＝模型.onnx",): "Type 'model.path=模型.onnx'.",
    ("seed",): "Type seed=VALUE.",
    ("",): "options are given as KEY=VALUE",
    ("=5",): "has no key before the =",
    ("acc_auto",): "Type mode=acc_auto.",
    ("x.onnx",): "type model=file model.path=x.onnx.",
    ("–m", "seed=1,2"): "Type -m.",
    ("—config-dir", "x"): "Type --config-dir.",
    ("--multi-run",): "Did you mean --multirun?",
    (
        "--experimental-rerun",
        "config.pickle",
    ): "reads a pickle, and so runs whatever its maker put into it. Give the options",
    ("--frobnicate",): "no such flag. `python -m runner --help` lists",
    ("--config-dir",): "--config-dir: expected a value behind it.",
    ("--cfg", "jobs"): "--cfg jobs: expected job or hydra or all.",
}
REFUSED = {
    "model=x.onnx": "type model=file model.path=x.onnx.",
    "model=/tmp/x (1).onnx": "type model=file 'model.path=/tmp/x (1).onnx'.",
    "dataset=a.npz": "type dataset=npz dataset.path=a.npz.",
    "dataset=./photos": "type dataset=image_folder dataset.images=./photos.",
    "target_loss=0.1,": "Type target_loss=0.1.",
    "target_loss=0.1,0.2": "-m in front of the options runs a job for each",
    "model.path=a,b.onnx": "'model.path=\"a,b.onnx\"'",
    "mode=null": "mode: expected the name of an option, got null. Available: acc_auto, convert_qat.",
    "calibration=5": "calibration: expected the name of an option, got 5. Available: digits, imagenet_sample.",
    "mode=": "mode=: no such option. Available: acc_auto, convert_qat.",
    "+mode=acc_auto": "+mode: the option exists; leave out the +.",
    "++mode=acc_auto": "Type mode=acc_auto.",
    "/mode=acc_auto": "/mode: no such option. Did you mean mode?",
    "seed=choice(a,b": "seed: the value choice(a,b cannot be read; expected choice(a,b).",
    'record="a.txt': "Type 'record=\"a.txt\"'.",
    "seed=${nosuch}": "seed: ${nosuch} names no option that is there.",
    "seed=${oc.env:NOSUCHVAR}": "seed: the environment variable NOSUCHVAR is not set.",
    "seed=${nosuch:1}": "seed: ${nosuch:...} is no reference that is known",
    "layers={}": "layers: {} cannot stand in the place of what is there.",
    "calibration.dataset=npz": "Type +dataset@calibration.dataset=npz.",
    "dataset.preprocess=tf": "Type dataset/preprocess=tf.",
    "paths.output=null": "paths.output: expected the path of a folder, got null",
    "--config-dir=/nosuch": "--config-dir: /nosuch is no folder",
    "--config-name=nosuch": "--config-name: there is no nosuch.yaml",
}


@pytest.mark.parametrize("arguments", SLIPS, ids=" ".join)
def test_slip_is_told_with_what_to_type(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        arranged(arguments, "python -m runner")
    assert SLIPS[arguments].lower() in str(refused.value).lower()


@pytest.mark.parametrize("argument", REFUSED)
def test_refusal_is_one_line_in_our_own_words(argument: str, run: Command) -> None:
    ended = run(argument, "tracking=none")
    assert ended.status == 2
    assert REFUSED[argument] in ended.err
    assert re.fullmatch(r"error: [^\n]+\n", ended.err), ended.err
    assert "hydra.cc" not in ended.err and "HYDRA_FULL_ERROR" not in ended.err and "Config search path" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("mode=acc_auto", "--config-dir", "x", "seed=1"),
        ("--config-dir", "x", "mode=acc_auto", "seed=1"),
        ("mode=acc_auto", "seed=1", "--config-dir", "x"),
    ],
)
def test_flags_may_stand_anywhere(arguments: tuple[str, ...]) -> None:
    assert arranged(arguments, "") == ["--config-dir", "x", "mode=acc_auto", "seed=1"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "seed=1,2"),
        ("--multirun", "seed=choice(1,2)"),
        ("--cfg", "job", "-p", "model"),
        ("--info",),
        ("--info", "config", "seed=1"),
        ("--help",),
        ("~seed", "+foo=1"),
        ("model.name=a b", "skip_layers=[a,b]"),
        ("hydra/launcher=basic",),
    ],
)
def test_what_hydra_takes_is_handed_on(arguments: tuple[str, ...]) -> None:
    assert arranged(arguments, "") == list(arguments)


def test_study_has_its_paths_quoted_and_its_slips_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runner.tune import main as tune

    monkeypatch.setattr("sys.argv", ["tune", "--tune.trials", "5"])
    assert tune.main() == 2
    assert "Type tune.trials=5." in capsys.readouterr().err
