"""``python -m handbook build``: the site of docs/, every warning of which is a fault."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def build(folder: Path) -> int:
    """Build the site into a folder, and return the exit status: 0 where nothing was to be said."""
    kept = folder.parent / f"{folder.name}.kept"
    line = [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-q", "-W", "--keep-going", "-d", str(kept)]
    return subprocess.run([*line, str(DOCS), str(folder)], check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m handbook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    site = commands.add_parser("build", help="build the site; needs the extra 'docs'")
    site.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    said = parser.parse_args(arguments)
    status = build(said.folder)
    if status == 0:
        print(f"{said.folder / 'index.html'}: open it in a browser; its search needs no server.")
    return status


if __name__ == "__main__":
    sys.exit(main())
