"""What a user writes, and what is fetched: configuration files in YAML, archives."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from benchmarks.fuzz.archives import members
from benchmarks.fuzz.damage import Damage, anywhere, lines
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.trees import yaml_tree
from runner.app.hydra_nodes import look_first
from runner.app.main import message_of
from runner.app.parsing import deciding, faults_of_names, parse_job
from runner.app.places import register_resolvers, shipped
from runner.download.archive import ArchiveError, unpack
from runner.errors import RunnerError, raise_all

_JOB = """# @package _global_
defaults:
  - override /observer: percentile
  - override /strategy: linear
target_loss: 0.5
seed: 3
skip_layers: [first, "second"]
layers:
  - match: "conv*"
    observer:
      _target_: runner.calibration.minmax.MinMax
calibration: {count: 8}
evaluation: {count: 16}
correction: {bias: sequential, rounding: compensated}
model: {path: "${oc.env:HOME,/tmp}/net.onnx", name: net}
expect: {value: 87.5, within: 2}
tracking: {uri: "sqlite:///x.db", timeout: 5}
"""
_STUDY = """# @package _global_
defaults:
  - override /metric: top5
metric: {output: logits}
dataset: {preprocess: {mean: [1.0, 2.0, 3.0], std: 127.5, resize: 64}, batch_axis: {x: 0}, constants: {sr: 16000}}
split: {disjoint: true, report: 0.5}
search: {confidence: 0.9}
budget: {minutes: 1.5, evaluations: 4}
verify: {count: 3}
"""


def settings(folder: Path) -> Sequence[Spot]:
    """Damage configuration files: they are composed, and a job is made of what they say, up to its first look at a file."""
    register_resolvers()
    look_first()
    (folder / "experiment").mkdir()
    spots = []
    for name, text in (("job", _JOB), ("study", _STUDY)):
        path = folder / "experiment" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        damages: list[Damage] = [anywhere, lines, lines, yaml_tree, yaml_tree]
        spots.append(Spot(path, damages, partial(_composed, folder, name)))
    return spots


def archive(folder: Path) -> Sequence[Spot]:
    """Damage archives, which are unpacked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("photos/a.png", "photos/deep/b.png", "photos/labels.txt"):
            opened.writestr(name, name.encode() * 40)
    path = folder / "photos.zip"
    path.write_bytes(stream.getvalue())

    def use() -> None:
        target = folder / "unpacked"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        try:
            unpack(path, target, "photos")
        except ArchiveError as error:
            # As a download tells it.
            raise RunnerError(str(error)) from error
        inside = {file.resolve().is_relative_to(target) for file in target.rglob("*")}
        assert inside == {True}

    return [Spot(path, [anywhere, members(anywhere)], use)]


def _composed(folder: Path, name: str) -> None:
    GlobalHydra.instance().clear()
    sys.argv[1:] = [f"+experiment={name}"]
    try:
        with initialize_config_dir(shipped("conf"), version_base="1.3"):
            composed = compose("config", [f"hydra.searchpath=[file://{folder}]", f"+experiment={name}"])
            plain = OmegaConf.to_container(composed, resolve=True)
    except Exception as error:
        # As the command line tells it.
        message = message_of(error, started=False)
        if message is None:
            raise
        raise RunnerError(message) from error
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
    raise_all(faults_of_names(config))
    deciding(parse_job(config))
