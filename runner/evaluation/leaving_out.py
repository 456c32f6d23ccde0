"""The model of all layers in int8, run with some of them in float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.convert.switched import switch
from runner.session import Feeds, InputSpec, Session


class LeavingOut:
    """A session of a ``switched_model`` with some layers in float.

    Args:
        session: of the model.
        layers: that are run in float.
    """

    def __init__(self, session: Session, layers: Iterable[str]) -> None:
        self._session = session
        self._switches = {switch(layer): np.array(True) for layer in layers}
        self.inputs: tuple[InputSpec, ...] = session.inputs
        self.number_names: Sequence[str] = session.number_names

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """Return the outputs (all, or the named ones) in order."""
        return self._session.run({**feeds, **self._switches}, outputs)

    def stop(self) -> None:
        """Have runs under way in other threads end soon, with an error, and later ones at once."""
        self._session.stop()
