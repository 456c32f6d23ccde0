"""``quant-log-run FOLDER``: a job's folder logged to MLflow later, from what the job kept while it ran.

For jobs that ran with ``tracking=none``, or whose tracking server did not answer. The run that a job has is brought up to date.

A folder may come from somewhere else, so it does not choose where its contents go, nor whose files are sent: the server is the
one that the command or the environment names, the root is the folder's own, and links are left out.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.app.leaving import leave
from runner.app.telling import tell
from runner.app.version import VersionFlag

if TYPE_CHECKING:
    from runner.app.tracking.options import TrackingOptions

NOT_LOGGED, WRONG_INPUT = 1, 2
_ENVIRONMENT = "MLFLOW_TRACKING_URI"


def console() -> None:
    """Entry point of ``quant-log-run`` and ``python -m runner.app.log_run``; leaves with the exit status."""
    leave(lambda: main(sys.argv[1:]), result_is_printed=True)


def main(arguments: Sequence[str]) -> int:
    """Log the folder that the arguments name as one run and return the exit status."""
    parser = argparse.ArgumentParser(
        "quant-log-run",
        description="Log a job's folder to MLflow, from its events.jsonl; again: bring its run up to date.",
    )
    parser.add_argument("--version", action=VersionFlag)
    parser.add_argument("folder", type=at_home, help="of the job: the one that holds events.jsonl")
    parser.add_argument(
        "--output", type=at_home, help="root of the store; default: the job's paths.output, where the folder lies in it"
    )
    parser.add_argument(
        "--uri", help="a tracking server or a database; default: MLFLOW_TRACKING_URI, a file below the root"
    )
    parser.add_argument("--experiment", help="its name; default: the job's own")
    parser.add_argument("--models", action="store_true", help="log the models as logged models too")
    parser.add_argument(
        "--timeout", type=float, default=60, help="seconds that one answer of MLflow may take; default: 60"
    )
    given = parser.parse_args(arguments)
    # Imported here, so that --help comes at once.
    from runner.app.journal import NAME, read_events
    from runner.app.tracking.entries import first
    from runner.app.tracking.options import TrackingOptions
    from runner.errors import ConfigError

    journal = given.folder / NAME
    started = first(read_events(given.folder), "JobStarted")
    if started is None:
        found = "none of them" if journal.is_file() else "no such file"
        tell(
            f"{journal}: expected the events of a job that started, got {found}. "
            "Name the folder of one job, such as outputs/acc_auto."
        )
        return WRONG_INPUT
    config = started.get("config")
    own = config.get("tracking") if isinstance(config, Mapping) else None
    own = own if isinstance(own, Mapping) else {}
    try:
        options = TrackingOptions(
            "mlflow",
            given.uri,
            given.experiment or _text(own.get("experiment")),
            given.timeout,
            given.models or own.get("log_models") is True,
        )
        root = given.output or _root(given.folder, config, own, named=bool(given.uri or os.environ.get(_ENVIRONMENT)))
    except ConfigError as error:
        tell(str(error))
        return WRONG_INPUT
    return _log(given.folder.absolute(), root.absolute(), options)


def _root(folder: Path, config: Any, own: Mapping[str, Any], *, named: bool) -> Path:  # noqa: ANN401 - JSON
    """Return the root of the job's store.

    Args:
        folder: of the job.
        config: of the job, as its events have it.
        own: its tracking options.
        named: whether the user has said where runs go.

    Raises:
        ConfigError: only the folder says where its contents are to go, or it does not lie where it says.
    """
    from runner.errors import ConfigError
    from runner.printable import shown

    uri = _text(own.get("uri"))
    if uri is not None and not named:
        raise ConfigError(
            f"{folder}: its job was to be logged to {shown(uri)}. A folder does not choose where its contents are sent: "
            f"say --uri {shlex.quote(shown(uri))}, or set {_ENVIRONMENT}; --output DIR logs to a file in a folder of yours."
        )
    paths = config.get("paths") if isinstance(config, Mapping) else None
    root = _text(paths.get("output")) if isinstance(paths, Mapping) else None
    if root is not None and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        return Path(root)
    if named:
        return folder.absolute().parent
    raise ConfigError(
        f"{folder}: its job wrote below {'an unknown root' if root is None else shown(root)}, and the folder lies elsewhere. "
        "Say where its run goes: --output DIR for a file in a folder of yours, or --uri."
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def at_home(path: str) -> Path:
    """Return a path with a home folder in the place of ``~``, which no shell sees behind an ``=``."""
    return Path(os.path.expanduser(path))


def _log(folder: Path, root: Path, options: TrackingOptions) -> int:
    from runner.app.tracking.looking import where_to_look
    from runner.app.tracking.place import place
    from runner.app.tracking.process import NotLogged, TrackingProcess

    where, process = place(root, options, os.environ), TrackingProcess()
    process.follow(folder, root, options)
    try:
        # However much there is to log, as long as MLflow answers.
        logged = process.end(math.inf, options.timeout)
    except TimeoutError:
        process.kill()
        tell(f"not logged: {where.shown}: no answer within {options.timeout:g} s.")
        return NOT_LOGGED
    except NotLogged as error:
        process.kill()
        tell(f"not logged: {error}.")
        return NOT_LOGGED
    process.kill()
    print(f"logged as run {logged.run}\n{where_to_look(logged, where, folder)}")
    return 0


if __name__ == "__main__":
    console()
