"""How many callers run a job's model: measured once for a model on a machine, with its own items, and remembered."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import onnx_ir as ir

from runner.dataset.binding import bind
from runner.dataset.subset import Subset
from runner.engine import Engine, available_cores, fastest_callers, round_seconds
from runner.store.key import cpu_name
from runner.store.stage import NUMBER, Stage
from runner.store.store import Store

logger = logging.getLogger(__name__)

# On two cores there is nothing to choose, see ``runner.engine``.
_WORTH_MEASURING = 4
_ITEMS = 8


@dataclass(frozen=True, slots=True)
class CallersInputs:
    """What the fastest number of callers depends on; which items are taken to measure it is not said to matter."""

    graph: str
    processor: str
    cores: int


CALLERS = Stage("number of callers", CallersInputs, NUMBER)


def choose_callers(engine: Engine, model: ir.Model, graph: str, part: Subset, store: Store | None) -> None:
    """Have an engine use as many callers as run the model fastest, unless their number is configured.

    Args:
        engine: the job's.
        model: the float model.
        graph: its digest.
        part: items to measure with.
        store: remembers the number.
    """
    cores = available_cores()
    if engine.configured is not None or cores < _WORTH_MEASURING:
        return

    def measure() -> float:
        session = engine.session(model)
        items = part.indices[:_ITEMS]
        feeds = [bind(part.dataset.item(i), session.inputs, name=part.dataset.name(i)) for i in items]
        return fastest_callers(lambda callers: round_seconds(session, feeds, callers, 2 * cores), cores)

    engine.fastest = int(CALLERS.cached(store, CallersInputs(graph, cpu_name(), cores), measure))
    logger.info("%d callers on %d cores", engine.fastest, cores)
