"""Sessions that execute a graph as it stands."""

from __future__ import annotations

from dataclasses import replace

from runner.engine import Engine
from runner.errors import ModelError, VerificationError
from runner.session import REFERENCE, Loadable, Session


def reference_session(model: Loadable, engine: Engine, *, own_memory: bool = True) -> Session:
    """Return a session that executes the graph as it stands.

    Args:
        model: to run.
        engine: makes the session.
        own_memory: see ``Profile``.

    Raises:
        VerificationError: onnxruntime cannot load it.
    """
    try:
        return engine.session(model, replace(REFERENCE, own_memory=own_memory))
    except ModelError as error:
        raise VerificationError(f"a written model cannot be run: {error} Please report this.") from error
