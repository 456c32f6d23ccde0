"""Draw the pictures of docs/explanation into docs/pictures: ``python -m benchmarks.pictures [NAME]``, two minutes in all."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.pictures.look import write
from benchmarks.pictures.named import PICTURES


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    for name in names or PICTURES:
        path = Path("docs") / "pictures" / f"{name}.svg"
        write(PICTURES[name](), path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
