"""The schema takes what jobs take, refuses what they refuse, and is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from runner.app.parsing import parse_job
from runner.app.places import shipped
from runner.app.schema.keys import composed
from runner.errors import ConfigError
from tests.command import ROOT, environment

jsonschema = pytest.importorskip("jsonschema", reason="needs the extra 'test'")
CONF = Path(shipped("conf"))
DIGITS = shipped("data/digits/eval")
ZOO = ROOT / "tests" / "conf" / "experiment" / "zoo"
EVERY_GROUP = (
    "model",
    "dataset",
    "metric",
    "postprocess",
    "target",
    "tracking",
    "engine",
    "download",
    "cache",
    "quant",
)
EVERY_GROUP += ("observer", "sensitivity", "strategy", "correction")
WHOLE_FILES = [path for folder in ("experiment", "sweep", "hparams_search") for path in (CONF / folder).glob("*.yaml")]
CHOICES = [
    (mode, f"{path.parent.relative_to(CONF).as_posix()}={path.stem}")
    for mode, groups in (("acc_auto", EVERY_GROUP), ("convert_qat", ("model", "target", "download")))
    for group in groups
    for path in sorted((CONF / group).glob("*.yaml"))
]


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads((CONF / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def faults(validator: Any, config: object) -> list[str]:
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(config)]


@pytest.mark.parametrize(("mode", "choice"), CHOICES)
def test_configuration_of_every_option_is_valid(validator: Any, mode: str, choice: str) -> None:
    assert faults(validator, composed(mode, choice)) == []


@pytest.mark.parametrize("path", [*WHOLE_FILES, *sorted(ZOO.glob("*.yaml"))], ids=lambda path: path.stem)
def test_every_file_of_settings_is_valid(validator: Any, path: Path) -> None:
    assert faults(validator, yaml.safe_load(path.read_text(encoding="utf-8"))) == []


# What is laid over a whole job's configuration, and whether it is taken.
CHANGES: list[tuple[str, Mapping[str, Any], bool]] = [
    ("acc_auto", {}, True),
    ("acc_auto", {"seed": "one"}, False),
    ("acc_auto", {"sead": 1}, False),
    ("acc_auto", {"seed": True}, False),
    ("acc_auto", {"target_loss": 1}, True),
    ("acc_auto", {"target_loss": None}, False),
    ("acc_auto", {"image": 1}, False),
    ("convert_qat", {"image": "a.png"}, True),
    ("convert_qat", {"target_loss": 1.0}, False),
    ("convert_qat", {"on_asymmetric_weight": "keep"}, False),
    ("acc_auto", {"expect": 87.6}, True),
    ("acc_auto", {"expect": {"value": 87.6, "in": 1}}, False),
    ("acc_auto", {"dataset": {"imges": "photos"}}, False),
    ("acc_auto", {"dataset": {"_target_": "runner.ImageFolder", "images": DIGITS, "url": "http://h/x.zip"}}, True),
    ("acc_auto", {"dataset": {"_target_": "runner.NpzDataset", "path": 3}}, False),
    ("acc_auto", {"observer": {"_target_": "runner.Hfmg", "num_of_bin": 1}}, False),
    ("acc_auto", {"observer": {"_target_": "runner.Hfmg", "exact": "yes"}}, False),
    ("acc_auto", {"observer": {"_target_": "runner.Hfmg", "exact": True}}, True),
    ("acc_auto", {"layers": [{"match": "head", "quantize": False}]}, True),
    ("acc_auto", {"layers": [{"match": "head", "observer": {"_target_": "runner.MinMax"}}]}, True),
    ("acc_auto", {"layers": [{"match": "head", "quantise": False}]}, False),
    ("acc_auto", {"layers": {"head": False}}, False),
    ("acc_auto", {"tensor_quantize": "adds"}, True),
    ("acc_auto", {"tensor_quantize": [{"layer": "add", "input": 0}]}, True),
    ("acc_auto", {"tensor_quantize": "all"}, False),
    ("acc_auto", {"correction": {"bias": "some"}}, False),
    ("acc_auto", {"correction": {"balance": "auto"}}, True),
    ("acc_auto", {"verify": {"count": "all"}}, True),
    ("acc_auto", {"verify": {"count": "most"}}, False),
    ("acc_auto", {"tracking": {"timeout": True}}, False),
    ("acc_auto", {"cache": {"max_gb": 1}}, True),
]


def laid_over(config: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(config)
    for key, value in change.items():
        inner = both.get(key)
        whole = isinstance(value, Mapping) and "_target_" not in value and isinstance(inner, Mapping)
        both[key] = laid_over(inner, value) if whole else value
    return both


@pytest.mark.parametrize(("mode", "change", "taken"), CHANGES, ids=str)
def test_schema_and_job_take_and_refuse_the_same(
    validator: Any, mode: str, change: Mapping[str, Any], taken: bool
) -> None:
    config = laid_over(composed(mode), change)
    assert (faults(validator, config) == []) is taken
    # By itself too, as an experiment says it.
    assert (faults(validator, {"mode": mode, **change}) == []) is taken
    resolved = {
        str(key): value for key, value in OmegaConf.to_container(OmegaConf.create(config), resolve=True).items()
    }
    if taken:
        parse_job(resolved)
    else:
        with pytest.raises(ConfigError):
            parse_job(resolved)


@pytest.mark.parametrize(
    "config",
    [
        {"observer": {"_target_": "mine.Own", "anything": [1]}},
        {"seed": "${oc.env:SEED}", "paths": {"output": "${oc.env:HOME}/x"}},
        {"defaults": [{"override /dataset": "npz"}, "_self_"], "hydra": {"mode": "MULTIRUN"}},
    ],
)
def test_classes_of_the_user_and_interpolations_are_left_to_the_job(validator: Any, config: object) -> None:
    assert faults(validator, config) == []


def test_command_prints_the_schema_that_is_shipped(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "runner.app.schema"]
    done = subprocess.run(line, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (CONF / "schema.json").read_text(encoding="utf-8")
