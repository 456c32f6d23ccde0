"""``quant-log-run FOLDER``: a job's folder logged to MLflow later, from what the job kept while it ran.

For jobs that were interrupted, that ran with ``tracking=none``, or whose tracking server did not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

WRONG_INPUT = 2


def console() -> None:
    """Entry point of ``quant-log-run`` and ``python -m runner.app.log_run``; leaves with the exit status."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Log the folder that the arguments name as one run and return the exit status."""
    parser = argparse.ArgumentParser(
        "quant-log-run", description="Log a job's folder to MLflow, from its events.jsonl."
    )
    parser.add_argument("folder", type=Path, help="of the job: the one that holds events.jsonl")
    parser.add_argument("--output", type=Path, help="root of the store; default: the job's own paths.output")
    parser.add_argument("--uri", help="a tracking server, in place of a store in a file")
    parser.add_argument("--experiment", help="its name; default: the job's own")
    given = parser.parse_args(arguments)
    # Imported here, so that --help comes at once.
    from runner.app.journal import NAME, read_events
    from runner.app.options import TrackingOptions
    from runner.app.tracking import store_uri, track

    journal = given.folder / NAME
    started = None
    if journal.is_file():
        started = next((event for event in read_events(given.folder) if event["event"] == "JobStarted"), None)
    if started is None:
        print(
            f"error: {journal}: expected the events of a job that started, got "
            f"{'none of them' if journal.is_file() else 'no such file'}. Name the folder of one job, such as outputs/acc_auto.",
            file=sys.stderr,
        )
        return WRONG_INPUT
    own = started["config"].get("tracking", {})
    options = TrackingOptions(
        "mlflow",
        given.uri or own.get("uri"),
        given.experiment or own.get("experiment") or TrackingOptions("mlflow").experiment,
    )
    root = (given.output or Path(started["config"]["paths"]["output"])).absolute()
    run = track(given.folder.absolute(), root, options)
    print(f"logged as run {run}; mlflow ui --backend-store-uri {store_uri(root, options)}")
    return 0


if __name__ == "__main__":
    console()
