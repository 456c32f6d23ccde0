"""The shipped presets of photos' preprocessing, as values."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from runner.app.checking import build
from runner.app.places import shipped
from runner.dataset.preprocess import ImagePreprocess


def presets() -> dict[str, ImagePreprocess]:
    """Return them by the name under which ``dataset/preprocess`` chooses them."""
    found = {}
    for file in sorted(Path(shipped("conf"), "dataset", "preprocess").glob("*.yaml")):
        plain = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
        made = build(plain, ImagePreprocess, "dataset.preprocess")
        assert isinstance(made, ImagePreprocess)  # all of the shipped ones are
        found[file.stem] = made
    return found
