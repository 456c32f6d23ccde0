"""``quant-sweep-report FOLDER``: a sweep's table and files anew, from what its jobs left, also while some are at work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.app.leaving import leave
from runner.app.telling import fault, tell
from runner.app.version import VersionFlag

WRONG_INPUT = 2


def console() -> None:
    """Entry point of ``quant-sweep-report`` and ``python -m runner.app.sweep.report``; leaves with the exit status."""
    leave(lambda: main(sys.argv[1:]), result_is_printed=True)


def main(arguments: Sequence[str]) -> int:
    """Tell of the sweep in the folder that the arguments name and return its exit status."""
    parser = argparse.ArgumentParser(
        "quant-sweep-report", description="Print a sweep's table and write sweep.csv, sweep.json and sweep.html again."
    )
    parser.add_argument("--version", action=VersionFlag)
    parser.add_argument("folder", type=Path, help="of the sweep: the one that holds sweep.json")
    folder = parser.parse_args(arguments).folder.absolute()
    # Imported here, so that --help comes at once.
    from runner.app.sweep.ending import swept
    from runner.app.sweep.outcome import sweep_status
    from runner.app.sweep.plan import NAME, read_plan
    from runner.report.layout import standard_output
    from runner.report.sweep.files import write_sweep
    from runner.report.sweep.table import print_sweep

    plan = read_plan(folder)
    if plan is None:
        got = "one that cannot be read" if (folder / NAME).is_file() else "no such file"
        tell(
            f"{folder / NAME}: expected the plan of a sweep, got {got}. Name the folder of one, such as "
            "outputs/sweeps/2030-01-01_12-00-00."
        )
        return WRONG_INPUT
    sweep = swept(folder, plan)
    print_sweep(sweep, standard_output())
    try:
        write_sweep(sweep, plan.to_json())
    except OSError as error:
        tell(f"the sweep's files are not written again: {fault(error)}")
        return WRONG_INPUT
    return sweep_status([job.exit_status for job in sweep.jobs])


if __name__ == "__main__":
    console()
