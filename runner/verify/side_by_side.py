"""Sessions that are run for the same item, behind one face."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.session import Feeds, Session
from runner.verify.layer_outputs import Arrays
from runner.verify.optimized import Optimized


class SideBySide:
    """Two sessions that take the same feeds and give the same outputs: those of the first, then those of the second."""

    def __init__(self, first: Session, second: Session) -> None:
        self._first, self._second = first, second
        self.inputs, self.output_names = first.inputs, first.output_names

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> Arrays:
        """Return the outputs of the first session, then those of the second."""
        names = self.output_names if outputs is None else outputs
        return self._first.run(feeds, names) + self._second.run(feeds, names)

    def stop(self) -> None:
        """Stop both."""
        self._first.stop()
        self._second.stop()

    @staticmethod
    def halves(arrays: Arrays) -> tuple[Arrays, Arrays]:
        """Return what ``run`` gave, apart again."""
        return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]


class EitherWay:
    """The optimised sessions with those that decide where these show nothing, if they are made: all are to be stopped."""

    def __init__(self, optimized: Optimized, made: Callable[[], SideBySide | None]) -> None:
        self._optimized, self._made = optimized, made
        self.inputs, self.run = optimized.inputs, optimized.run

    def stop(self) -> None:
        """Stop all."""
        for sessions in (self._optimized, self._made()):
            if sessions is not None:
                sessions.stop()
