"""Where the rewriting of a float model comes from: calibration, or the file beside a record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from runner.correction.equalize import choose_exponents
from runner.correction.options import Correction
from runner.correction.pixels import choose_pixels
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import RecordError
from runner.events import CALIBRATE
from runner.graph.digest import graph_digest
from runner.graph.rewriting import Rewriting
from runner.modes.codecs import EXPONENTS, PIXELS
from runner.modes.files.given_files import GivenFiles
from runner.modes.keys import StageKeys
from runner.modes.prepared_model import PreparedModel
from runner.modes.recipe import Recipe
from runner.modes.stages import Stages
from runner.store.remembered import remembered
from runner.store.store import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")


def recorded_model(subject: PreparedModel, given: GivenFiles) -> PreparedModel:
    """Return the model that a record is of.

    Raises:
        RecordError: the rewriting beside the record does not fit the model.
    """
    if not given.rewriting:
        return subject
    try:
        return subject.rewritten(given.rewriting)
    except ValueError as error:
        raise RecordError(
            f"{given.name}: the rewriting beside it does not fit {subject.source.path}: {error}. "
            "They belong to another model."
        ) from error


def rewritten_model(
    subject: PreparedModel,
    correction: Correction,
    calibration: Subset | None,
    recipe: Recipe,
    engine: Engine,
    stages: Stages,
    keys: StageKeys,
    store: Store | None,
) -> PreparedModel:
    """Return the model as calibration items speak for it; the same where nothing is to be rewritten.

    Args:
        subject: the model as it was prepared.
        correction: says what may be done.
        calibration: items to look at; None where a record says what the layers are.
        recipe: of the model as it is; knows which layers stay float, and which have zero point 0.
        engine: runs the model.
        stages: times the work.
        keys: of the stored results.
        store: keeps the results; None keeps nothing.
    """
    if calibration is None:
        return subject
    left_alone = sorted({*recipe.skipped, *recipe.symmetric})

    def chosen(what: str, choose: Callable[..., T]) -> T:
        with stages.stage(CALIBRATE, len(calibration.indices), what) as progress:
            return choose(
                subject.runnable.graph, calibration.dataset, calibration.indices, engine=engine, progress=progress
            )

    pixels = partial(chosen, "levels of the image", partial(choose_pixels, left_alone=left_alone))
    exponents = partial(chosen, "equalization", partial(choose_exponents, float_layers=recipe.skipped))
    if correction.pixels:
        found = remembered(store, keys.pixels(left_alone), pixels, PIXELS)
        for name in found:
            logger.info("whole pixels: the levels of the image that %s reads become its codes", name)
        if found:
            subject = subject.rewritten(Rewriting(found))
            keys = replace(keys, graph=graph_digest(subject.runnable.graph))
    if correction.equalize:
        powers = remembered(store, keys.equalization(recipe.skipped), exponents, EXPONENTS)
        for name in powers:
            logger.info("equalized: the output channels of %s are scaled by powers of two", name)
        if powers:
            subject = subject.rewritten(Rewriting(exponents=powers))
    return subject
