"""A job that is looked at, with its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.app.doctor.compose import Composed
from runner.app.options import Job
from runner.dataset.preprocess import ImagePreprocess
from runner.engine import Engine
from runner.modes.doctor.examined import Examined, Part


class JobCase(Examined):
    """A job as the command line makes it; sections that are at fault have the shipped options in their place."""

    job: Part[Job] = Part("a model and data")
    sections: Part[Mapping[str, Any]] = Part("a mode")

    def __init__(self, composed: Composed, engine: Engine, presets: Mapping[str, ImagePreprocess]) -> None:
        super().__init__(engine, presets)
        self.composed = composed
        self.config = composed.config
