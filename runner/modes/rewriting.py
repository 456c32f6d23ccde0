"""Where the rewriting of a float model comes from: calibration, or the file beside a record."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.correction import cross_layer_equalization as choosing_exponents
from runner.correction import pixel_codes as choosing_levels
from runner.correction.cross_layer_equalization import choose_exponents
from runner.correction.options import Correction
from runner.correction.pixel_codes import choose_levels
from runner.dataset.subset import Subset
from runner.errors import RecordError
from runner.events import CALIBRATE
from runner.graph import cross_layer_equalization, pixel_codes
from runner.graph.cross_layer_equalization import Exponents
from runner.graph.pixel_codes import Levels, PixelCodes
from runner.graph.rewriting import Rewriting
from runner.modes.context import Context
from runner.modes.files.given_files import GivenFiles
from runner.modes.prepared_model import PreparedModel
from runner.modes.selection import Selection
from runner.store.stage import Codec, Stage
from runner.store.store import Entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LevelsInputs:
    """What the levels of an image depend on; ``left_alone``: layers that stay float or have zero point 0."""

    graph: str
    calibration_items: str
    left_alone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EqualizationInputs:
    """What the exponents depend on, of a graph that is not equalized."""

    graph: str
    calibration_items: str
    float_layers: tuple[str, ...]
    one_scale: tuple[str, ...]


LEVELS: Stage[LevelsInputs, PixelCodes] = Stage(
    "levels of the image",
    LevelsInputs,
    Codec(
        lambda found: Entry({name: [levels.zero, levels.step, levels.lowest] for name, levels in found.items()}),
        lambda entry: {
            str(name): Levels(tuple(zero), tuple(step), int(lowest))
            for name, (zero, step, lowest) in entry.values.items()
        },
    ),
    through=(choosing_levels, pixel_codes),
)

EQUALIZATION: Stage[EqualizationInputs, Exponents] = Stage(
    "equalization",
    EqualizationInputs,
    Codec(
        lambda exponents: Entry({name: list(powers) for name, powers in exponents.items()}),
        lambda entry: {str(name): tuple(int(power) for power in powers) for name, powers in entry.values.items()},
    ),
    through=(choosing_exponents, cross_layer_equalization),
)


def recorded_model(prepared: PreparedModel, given: GivenFiles) -> PreparedModel:
    """Return the model that a record is of.

    Raises:
        RecordError: the rewriting beside the record does not fit the model.
    """
    if not given.rewriting:
        return prepared
    try:
        return prepared.rewritten(given.rewriting)
    except ValueError as error:
        raise RecordError(
            f"{given.name}: the rewriting beside it does not fit {prepared.source.path}: {error}. "
            "They belong to another model."
        ) from error


def rewritten_model(
    prepared: PreparedModel, correction: Correction, calibration: Subset | None, selection: Selection, job: Context
) -> PreparedModel:
    """Return the model as calibration items speak for it; the same where nothing is to be rewritten.

    Args:
        prepared: the model as it was prepared.
        correction: says what may be done.
        calibration: items to look at; None where a record says what the layers are.
        selection: knows which layers stay float, and which have zero point 0.
        job: what runs models and keeps results.
    """
    if calibration is None:
        return prepared
    if correction.pixels:
        prepared = _with_whole_pixels(prepared, calibration, selection, job)
    if correction.equalize:
        prepared = _equalized(prepared, calibration, selection, job)
    return prepared


def _with_whole_pixels(
    prepared: PreparedModel, calibration: Subset, selection: Selection, job: Context
) -> PreparedModel:
    left_alone = tuple(sorted({*selection.skipped, *selection.symmetric}))

    def choose() -> PixelCodes:
        with job.clock.stage(CALIBRATE, len(calibration), "levels of the image") as progress:
            return choose_levels(
                prepared.runnable.graph,
                calibration,
                left_alone=left_alone,
                engine=job.engine,
                progress=progress,
            )

    found = LEVELS.cached(job.store, LevelsInputs(prepared.digest, calibration.content, left_alone), choose)
    for name in found:
        logger.info("whole pixels: the levels of the image that %s reads become its codes", name)
    return prepared.rewritten(Rewriting(found)) if found else prepared


def _equalized(prepared: PreparedModel, calibration: Subset, selection: Selection, job: Context) -> PreparedModel:
    layers = prepared.runnable.layers
    one_scale = tuple(layer.name for layer in layers if not layer.per_channel or layer.name in selection.one_scale)

    def choose() -> Exponents:
        with job.clock.stage(CALIBRATE, len(calibration), "equalization") as progress:
            return choose_exponents(
                prepared.runnable.graph,
                calibration,
                float_layers=selection.skipped,
                one_scale=one_scale,
                engine=job.engine,
                progress=progress,
            )

    inputs = EqualizationInputs(prepared.digest, calibration.content, selection.skipped, one_scale)
    powers = EQUALIZATION.cached(job.store, inputs, choose)
    for name in powers:
        logger.info("equalized: the output channels of %s are scaled by powers of two", name)
    return prepared.rewritten(Rewriting(exponents=powers)) if powers else prepared
