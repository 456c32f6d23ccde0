"""The job that a command line describes, with its items decoded: what peers are given."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import OmegaConf

from runner.app.options import AccAutoJob
from runner.app.parsing import parse_job
from runner.app.places import register_resolvers, shipped
from runner.dataset.binding import bind
from runner.dataset.item import Dataset, evenly_spaced
from runner.engine import available_cores
from runner.session import Session

CALIBRATION_ITEMS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Decoded items, as a model takes them.

    Attributes:
        feeds: of every evaluation item, with batch axis 1.
        labels: of each; None where there are none.
        calibration: feeds of the calibration items.
    """

    job: AccAutoJob
    feeds: list[dict[str, NDArray[Any]]]
    labels: list[int | None]
    calibration: list[dict[str, NDArray[Any]]]


def load(options: Sequence[str]) -> Material:
    """Compose, check and decode a job.

    Args:
        options: of the command line; ``--config-dir DIR`` first, where there is one.
    """
    job = parse(options)
    session = Session(job.model.path)
    data = job.dataset
    indices = evenly_spaced(job.evaluation.count or len(data), len(data), key="evaluation.count")
    source = job.calibration.dataset or data
    count = min(job.calibration.count or CALIBRATION_ITEMS, len(source))
    return Material(
        job,
        _feeds(session, data, indices),
        [data.label(index) for index in indices],
        _feeds(session, source, evenly_spaced(count, len(source))),
    )


def parse(options: Sequence[str]) -> AccAutoJob:
    """Return the checked job of a command line."""
    arguments = list(options)
    extra: list[str] = []
    if arguments[:1] == ["--config-dir"]:
        extra, arguments = [arguments[1]], arguments[2:]
    register_resolvers()
    search = [f"hydra.searchpath=[{','.join(f'file://{path}' for path in extra)}]"] if extra else []
    with initialize_config_dir(shipped("conf"), version_base="1.3"):
        plain = OmegaConf.to_container(compose("config", [*search, *arguments]), resolve=True)
    assert isinstance(plain, dict)  # the root of a configuration is a mapping
    job = parse_job({str(key): value for key, value in plain.items()})
    assert isinstance(job, AccAutoJob)  # peers know no other mode
    return job


def _feeds(session: Session, data: Dataset, indices: Sequence[int]) -> list[dict[str, NDArray[Any]]]:
    def feed(index: int) -> dict[str, NDArray[Any]]:
        bound = bind(data.item(index), session.inputs, name=data.name(index))
        return {name: np.ascontiguousarray(array) for name, array in bound.items()}

    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(feed, indices))
