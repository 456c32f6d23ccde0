"""Presets of preprocessing as values, and the options that choose what was found to be better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from runner.app.checking import build
from runner.app.doctor.presets import presets
from runner.app.places import shipped
from runner.dataset.geometry import Letterbox
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.other_preprocessing import candidates


def test_every_shipped_preset_is_there() -> None:
    names = {path.stem for path in Path(shipped("conf"), "dataset", "preprocess").glob("*.yaml")}
    assert set(presets()) == names


def chosen_by(typed: str) -> ImagePreprocess:
    """Return what the command line makes of options."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        config = compose("config", ["dataset=image_folder", *typed.split()])
    plain = OmegaConf.to_container(config.dataset.preprocess, resolve=True)
    made = build(plain, ImagePreprocess, "dataset.preprocess")
    assert isinstance(made, ImagePreprocess)
    return made


@pytest.mark.parametrize(
    "now",
    [
        ImagePreprocess(resize=[224, 224]),
        ImagePreprocess(resize=256, crop=224, interpolation="bilinear", rounding="torchvision"),
        ImagePreprocess(letterbox=Letterbox([64, 96], "corner", 0)),
    ],
    ids=["resized", "cropped", "letterbox"],
)
def test_options_that_are_named_choose_what_was_tried(now: ImagePreprocess) -> None:
    tried = list(candidates(now, Examined(Engine(1), presets())))
    assert len(tried) >= 6
    for typed, preprocess in tried:
        if typed.startswith("dataset/preprocess="):
            assert chosen_by(typed).settings() == replace(preprocess, layout=None).settings(), typed
    assert tried[0][0] == "dataset.preprocess.channels=bgr"
