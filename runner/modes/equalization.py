"""Where the exponents of an equalized model come from: calibration, or the file beside a record."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from runner.correction.equalize import choose_exponents
from runner.engine import Engine
from runner.errors import RecordError
from runner.events import CALIBRATE
from runner.graph.equalization import Exponents
from runner.modes.codecs import EXPONENTS
from runner.modes.files.given_files import GivenFiles
from runner.modes.keys import StageKeys
from runner.modes.part import Part
from runner.modes.stages import Stages
from runner.modes.subject import Subject
from runner.store.remembered import remembered
from runner.store.store import Store

logger = logging.getLogger(__name__)


def recorded_subject(subject: Subject, given: GivenFiles) -> Subject:
    """Return the model that a record is of.

    Raises:
        RecordError: the exponents beside the record do not fit the model.
    """
    if not given.exponents:
        return subject
    try:
        return subject.equalized(given.exponents)
    except ValueError as error:
        raise RecordError(
            f"{given.name}: the equalization beside it does not fit {subject.source.path}: {error}. "
            "They belong to another model."
        ) from error


def chosen_exponents(
    subject: Subject,
    calibration: Part | None,
    float_layers: Sequence[str],
    engine: Engine,
    stages: Stages,
    keys: StageKeys,
    store: Store | None,
) -> Exponents:
    """Return the exponents that calibration items speak for.

    Args:
        subject: the model as it was prepared.
        calibration: items to look at; None where nothing is to be equalized.
        float_layers: names of layers that stay float.
        engine: runs the model.
        stages: times the work.
        keys: of the stored results.
        store: keeps the result; None keeps nothing.
    """
    if calibration is None:
        return {}

    def choose() -> Exponents:
        with stages.stage(CALIBRATE, len(calibration.indices), "equalization") as progress:
            return choose_exponents(
                subject.runnable,
                calibration.dataset,
                calibration.indices,
                engine=engine,
                float_layers=float_layers,
                progress=progress,
            )

    exponents = remembered(store, keys.equalization(float_layers), choose, EXPONENTS)
    for name in exponents:
        logger.info("equalized: the output channels of %s are scaled by powers of two", name)
    return exponents
