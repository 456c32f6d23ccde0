"""Ours beside NNCF and onnxruntime: ``python -m benchmarks.compare [--models NAME…] [--items N] [--output FILE]``.

Wall time is that of the whole process, with start, reading and decoding; of ours verification is taken off, which no peer
has, and nothing is logged to MLflow. F is one evaluation of the float model over the same items, from our own run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.cases import Case, cases
from benchmarks.row import Row, ours, peer
from benchmarks.table import comparison, machine

_EASY = 5.0
PEERS = ("nncf", "nncf-plain-loop", "nncf-all", "ort-minmax", "ort-percentile")


def rows_of(case: Case, options: list[str]) -> list[Row]:
    """Return a case's rows: a target that all-int8 meets, the case's own, ours again from the cache, and the peers."""
    with tempfile.TemporaryDirectory() as output:
        kept = [*options, f"paths.output={output}"]
        own = ours(case, *kept)
        again = ours(case, *kept, label="runner, again")
    easy = ours(case, *options, f"target_loss={_EASY:g}", label=f"runner, target {_EASY:g}")
    rivals = [peer(case, tool, *options) for tool in PEERS]
    return [own, again, easy, *rivals]


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=None, help="zoo models; default tf2_ptq_float st_mobilenet_v2")
    parser.add_argument("--items", type=int, default=None, help="evaluate on so many items only")
    parser.add_argument("--output", type=Path, default=None, help="write the tables to this Markdown file too")
    given = parser.parse_args()
    options = [] if given.items is None else [f"evaluation.count={given.items}"]
    parts = [f"Measured on {machine()}."]
    print(parts[0], flush=True)
    for case in cases(given.models):
        rows = rows_of(case, options)
        parts += [f"### {case.name}", comparison(rows, rows[0])]
        stages = rows[0].seconds_by_stage or {}
        parts.append("Ours by stage, s: " + ", ".join(f"{name} {value:.1f}" for name, value in stages.items()) + ".")
        print("\n" + "\n\n".join(parts[-3:]), flush=True)
    if given.output is not None:
        given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
