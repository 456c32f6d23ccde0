"""The first moments of a command: MLflow's process begins to load what it needs before this one does.

Loading MLflow takes longer than a job whose results are at hand. Nothing is read for it but the command line; where the
configuration says otherwise in the end, the process is not used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from runner.app.version import asks_for_version, print_version

# What prints something and is done, looks at a job, or starts jobs in other processes.
_NO_JOB_HERE = frozenset(
    {
        *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc"),
        *("--multirun", "-m", "doctor"),
    }
)


def console() -> None:
    """Entry point of ``quant-runner`` and ``python -m runner``; leaves with the exit status."""
    if asks_for_version(sys.argv[1:]):
        from runner.app.leaving import leave

        leave(print_version, result_is_printed=True)
    if will_track(sys.argv[1:]):
        from runner.app.tracking.process import prepare

        prepare()
    from runner.app.main import console as whole

    whole()


def will_track(arguments: Sequence[str]) -> bool:
    """Return whether a command line is likely to be a job that MLflow is told of."""
    tracking = [argument for argument in arguments if argument.lstrip("+~").startswith("tracking=")]
    no_job = any(argument.partition("=")[0] in _NO_JOB_HERE for argument in arguments)
    return not no_job and all(argument.endswith("=mlflow") for argument in tracking)
