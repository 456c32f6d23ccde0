"""docs/reference/command-line.md: what every command says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from docs.handbook.markdown import code, page

# Command -> the module that is the same.
COMMANDS = {
    "quant-runner": "runner",
    "quant-tune": "runner.tune",
    "quant-check-deploy": "runner.app.check_deploy",
    "quant-compare-dump": "runner.app.compare_dump",
    "quant-log-run": "runner.app.log_run",
    "quant-sweep-report": "runner.app.sweep.report",
}
_ABOUT = """Each command is also a module: `python -m runner` is `quant-runner`. How they end is told by their
[exit status](exit-status.md), and what `quant-runner` takes stands in [configuration](configuration.md) and
[groups](groups.md)."""
# What comes behind it in the help of a job is the configuration.
_END = "Options (change with KEY=VALUE)"


def command_page() -> str:
    """Return the page."""
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(_help, COMMANDS.values()))
    parts = [
        f"## {code(name)}\n\nThe same as `python -m {module}`.\n\n```text\n{text}\n```"
        for (name, module), text in zip(COMMANDS.items(), told, strict=True)
    ]
    return page("Command line", "what each command prints for --help", _ABOUT, *parts)


def _help(module: str) -> str:
    line = [sys.executable, "-m", module, "--help"]
    plain = {
        **os.environ,
        "COLUMNS": "100",
        "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path))),
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(line, cwd=elsewhere, env=plain, capture_output=True, text=True, check=True)
    return done.stdout.partition(_END)[0].strip()
