"""The package starts, and a job runs, where the system has none of what only POSIX has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import runner
from tests.command import environment

# As on Windows: modules and functions that are not there.
HIDE = """
import os, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "readline"):
    sys.modules[name] = None
for name in ("getuid", "geteuid", "getgid", "getgroups", "fork", "forkpty", "killpg", "setsid", "getpgid", "nice", "chown",
             "sched_getaffinity", "getloadavg", "wait3", "mkfifo", "statvfs"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGQUIT"):
    delattr(signal, name)
"""
IMPORT = """
import importlib, pkgutil, warnings
import runner
for found in pkgutil.walk_packages(runner.__path__, "runner."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print("imported")
"""
JOB = """
from runner.app.main import console
sys.argv[1:] = ["mode=convert_qat", "tracking=none", "evaluation.count=20", "verify.count=2"]
console()
"""


def ended(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)


def test_every_module_is_imported_without_what_only_posix_has(tmp_path: Path) -> None:
    # Of the libraries one chooses by the platform, which is not hidden here.
    done = ended("import pooch" + HIDE + IMPORT, tmp_path)
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr


def test_a_job_runs_without_what_only_posix_has(tmp_path: Path) -> None:
    done = ended(HIDE + JOB, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "convert_qat" / "summary.json").is_file()
    assert '"peak_rss_mb"' not in (tmp_path / "outputs" / "convert_qat" / "summary.json").read_text(encoding="utf-8")


POSIX = frozenset({"fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "resource"})


@pytest.mark.parametrize("names", [POSIX], ids=["posix"])
def test_no_module_imports_what_only_posix_has_at_once(names: frozenset[str]) -> None:
    found = set()
    for path in Path(runner.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            found |= {(path.name, name) for name in modules if name in names}
    assert found == set()


@pytest.mark.parametrize("name", ["getuid", "geteuid", "fork", "setsid", "killpg", "mkfifo"])
def test_no_function_is_called_that_only_posix_has(name: str) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in Path(runner.__file__).parent.rglob("*.py")}
    assert [file for file, text in texts.items() if f"os.{name}(" in text] == []
