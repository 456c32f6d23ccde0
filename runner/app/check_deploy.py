"""``quant-check-deploy FILE``: a deploy model held against what ATC takes, told line by line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from runner.app.leaving import leave
from runner.app.telling import tell
from runner.app.version import VersionFlag
from runner.printable import printable

CLEAN, WRONG_INPUT, CHECK_FAILED = 0, 2, 4
_DESCRIPTION = """Lists everything in a deploy model, ours or AMCT's, that ATC would refuse or silently misread.
Exit status: 0 nothing, or warnings only; 2 the file cannot be read; 4 ATC would refuse or misread it."""


def console() -> None:
    """Entry point of ``quant-check-deploy`` and ``python -m runner.app.check_deploy``; leaves with the exit status."""
    leave(lambda: main(sys.argv[1:]), result_is_printed=True)


def main(arguments: Sequence[str]) -> int:
    """Check the file that the arguments name, print a line a finding, and return the exit status."""
    parser = argparse.ArgumentParser("quant-check-deploy", description=_DESCRIPTION)
    parser.add_argument("--version", action=VersionFlag)
    parser.add_argument("file", type=os.path.expanduser, help="path of the deploy model, an ONNX file")
    path = parser.parse_args(arguments).file
    # Imported here, so that --help comes at once.
    from runner.errors import RunnerError
    from runner.lint.check import check_deploy

    try:
        findings = check_deploy(path)
    except RunnerError as error:
        tell(str(error))
        return WRONG_INPUT
    for finding in findings:
        print(printable(f"{finding.severity}: {finding}"))
    warnings = sum(finding.severity == "warning" for finding in findings)
    counted = f"{len(findings) - warnings} finding(s) that ATC would refuse or misread, {warnings} warning(s)"
    print(printable(f"{path}: {counted}"))
    return CHECK_FAILED if len(findings) > warnings else CLEAN


if __name__ == "__main__":
    console()
