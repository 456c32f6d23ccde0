"""A job's stages, announced and timed, with reading and preprocessing counted apart from the model's work."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from runner.engine import Engine
from runner.events import Emit, StageAdvanced, StageFinished, StageStarted
from runner.search.budget import STOPS

logger = logging.getLogger(__name__)

# What the model itself costs; loading, writing and checking are not in it.
MODEL_WORK = ("calibrate", "float_eval", "rank", "search", "final_eval")


class StageClock:
    """Announces and times the stages of one job."""

    def __init__(self, engine: Engine, emit: Emit) -> None:
        self._engine = engine
        self._emit = emit
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._decode = 0.0
        self._apart = 0.0

    @contextlib.contextmanager
    def stage(self, name: str, total: int = 0, detail: str = "") -> Iterator[Callable[[int], None]]:
        """Run a stage; gives a function that reports how many of ``total`` are done. What cuts it short ends it."""
        self._emit(StageStarted(name, total, detail))
        start, decoded, apart = time.perf_counter(), self._engine.decode_seconds, self._apart
        stop = None
        try:
            yield self._advance(name, total)
        except STOPS as error:
            stop = error
        elapsed = time.perf_counter() - start
        own = elapsed - (self._apart - apart)
        decode = min(own, self._engine.decode_seconds - decoded)
        self._decode += decode
        self._seconds[name] = self._seconds.get(name, 0.0) + own - decode
        self._emit(StageFinished(name, elapsed))
        logger.info("%s: %.1f s%s", name, elapsed, f" ({detail})" if detail else "")
        if stop is not None:
            raise stop

    def _advance(self, name: str, total: int) -> Callable[[int], None]:
        """Return what tells how many are done: never fewer than before, never more than there are."""
        reached = 0

        def advance(done: int) -> None:
            nonlocal reached
            reached = max(reached, min(done, total) if total else done)
            self._emit(StageAdvanced(name, reached))

        return advance

    @contextlib.contextmanager
    def apart(self, name: str) -> Iterator[None]:
        """Time what belongs to another stage than the one that goes on around it."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._apart += elapsed
            self._seconds[name] = self._seconds.get(name, 0.0) + elapsed

    def seconds(self) -> dict[str, float]:
        """Return wall seconds by stage so far, with ``decode``, ``model_work`` and ``total``."""
        stages = {"load": 0.0, "decode": self._decode, **dict.fromkeys(MODEL_WORK, 0.0), "write": 0.0, "verify": 0.0}
        stages.update(self._seconds)
        stages["model_work"] = sum(stages[name] for name in MODEL_WORK)
        stages["total"] = time.perf_counter() - self._start
        return {name: round(seconds, 3) for name, seconds in stages.items()}
