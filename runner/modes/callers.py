"""How many callers run a job's model: measured once for a model on a machine, with its own items, and remembered."""

from __future__ import annotations

import logging

import onnx_ir as ir

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine, available_cores, fastest_callers, round_seconds
from runner.modes.codecs import NUMBER
from runner.modes.keys import StageKeys
from runner.session import Session
from runner.store.remembered import remembered
from runner.store.store import Store

logger = logging.getLogger(__name__)

# On two cores there is nothing to choose, see ``runner.engine``.
_WORTH_MEASURING = 4
_ITEMS = 8


def settle_callers(engine: Engine, model: ir.Model, part: Subset, keys: StageKeys, store: Store | None) -> None:
    """Have an engine use as many callers as run the model fastest, unless their number is configured.

    Args:
        engine: of the job.
        model: the float model.
        part: items to measure with.
        keys: of the job's stages.
        store: remembers the number.
    """
    cores = available_cores()
    if engine.configured is not None or cores < _WORTH_MEASURING:
        return

    def measure() -> float:
        session = Session(model)
        items = part.indices[:_ITEMS]
        feeds = [bind(part.dataset.item(i), session.inputs, name=part.dataset.name(i)) for i in items]
        return fastest_callers(lambda callers: round_seconds(session, feeds, callers, 2 * cores), cores)

    engine.fastest = int(remembered(store, keys.callers(cores), measure, NUMBER))
    logger.info("%d callers on %d cores", engine.fastest, cores)
