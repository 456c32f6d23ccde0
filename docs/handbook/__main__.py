"""``python -m docs.handbook build`` makes the site of docs/, ``write`` the pages of it that are generated."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.handbook", description=__doc__.replace("``", ""))
    commands = parser.add_subparsers(dest="command", required=True)
    site = commands.add_parser("build", help="build the site, every warning a fault; needs the extra 'docs'")
    site.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    commands.add_parser("write", help="write the generated pages of docs/reference and conf/schema.json")
    said = parser.parse_args(arguments)
    return _build(said.folder) if said.command == "build" else _write()


def _build(folder: Path) -> int:
    kept = folder.parent / f"{folder.name}.kept"
    line = [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-q", "-W", "--keep-going", "-d", str(kept)]
    status = subprocess.run([*line, str(DOCS), str(folder)], check=False).returncode
    if status == 0:
        print(f"{folder / 'index.html'}: open it in a browser; its search needs no server.")
    return status


def _write() -> int:
    from docs.handbook.generated import write

    for name in write(ROOT):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
