"""The engine that a job's configuration asks for, and the evaluation data as its workers build it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.app.options import Job
from runner.app.parsing import parse_job
from runner.dataset.item import Dataset
from runner.distributed.engine import DistributedEngine
from runner.distributed.ray_cluster import RayOptions, ray_cluster
from runner.engine import Engine
from runner.modes.data import keep_pixels
from runner.store.store import Store


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker needs to build what the command's own process has.

    Attributes:
        directory: of the command, against which paths are read.
        importable: folders in which modules are looked for.
        cache: folder of the store, None where nothing is kept.
        cache_bytes: that it may take.
    """

    directory: str
    importable: tuple[str, ...]
    cache: str | None
    cache_bytes: int


@contextlib.contextmanager
def engine_of(
    job: Job,
    config: Mapping[str, Any],
    store: Store | None,
    *,
    share: Callable[[], int],
    warn: Callable[[str], None],
) -> Iterator[Engine]:
    """Give the engine of a job; its workers, if it has any, end with it.

    Args:
        job: its options.
        config: of which they were made.
        store: keeps results.
        share: gives the number of cores that are this job's at the moment.
        warn: told of workers that died and machines that are left out.

    Raises:
        ConfigError: there is no cluster, or it has no machine to work on.
    """
    options = job.engine
    if options.name == "local":
        yield Engine(options.callers, share=share)
        return
    around = Surroundings(str(Path.cwd()), tuple(sys.path), *_cache(store))
    make_dataset = functools.partial(evaluation_data, config, around)
    asked = RayOptions(options.address, options.workers, options.callers)
    with ray_cluster(asked, make_dataset, warn) as cluster:
        # Callers are those of a worker; here they are as many as are fastest.
        yield DistributedEngine(cluster, job.dataset, store, share=share, warn=warn, shard=options.shard)


def evaluation_data(config: Mapping[str, Any], around: Surroundings) -> Dataset:
    """Return the evaluation data of a configuration, in a process of its own.

    Raises:
        RunnerError: it cannot be read there.
    """
    if Path(around.directory).is_dir():
        os.chdir(around.directory)
    sys.path.extend(folder for folder in around.importable if folder not in sys.path)
    dataset: Dataset = parse_job(config).dataset
    if around.cache is not None:
        keep_pixels(Store(Path(around.cache), around.cache_bytes), dataset)
    return dataset


def _cache(store: Store | None) -> tuple[str | None, int]:
    return (None, 0) if store is None else (str(store.root), store.max_bytes)
