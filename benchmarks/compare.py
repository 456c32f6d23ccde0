"""Ours beside NNCF and onnxruntime: ``python -m benchmarks.compare [--models NAME…] [--runs N] [--peers NAME…]``.

Wall time is that of the whole command: start, reading, decoding, and of ours verification, report and files too, which no
peer has; nothing is logged to MLflow. Commands take turns, so that an hour's noise falls on all of them; told are the least and
the median of the runs. F is one evaluation of the float model over the same items, from our own run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import Case, cases
from benchmarks.row import Row, best_of, ours, peer
from benchmarks.table import comparison, machine

_EASY = 5.0
PEERS = ("nncf", "nncf-plain-loop", "nncf-all", "ort-minmax", "ort-percentile")


def rows_of(case: Case, options: list[str], peers: Sequence[str]) -> list[Row]:
    """Return a case's rows: ours in several settings, the case's own target first, and the peers."""
    with tempfile.TemporaryDirectory() as output:
        kept = [*options, f"paths.output={output}"]
        own = ours(case, *kept)
        again = ours(case, *kept, label="runner, again")
    others = [
        ours(case, *options, *given, label=f"runner, {label}")
        for label, given in (
            ("every item verified", ("verify.count=all",)),
            (f"target {_EASY:g}", (f"target_loss={_EASY:g}",)),
            (f"target {_EASY:g}, quant=best", (f"target_loss={_EASY:g}", "quant=best")),
        )
    ]
    return [own, again, *others, *(peer(case, tool, *options) for tool in peers)]


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=None, help="zoo models; default tf2_ptq_float st_mobilenet_v2")
    parser.add_argument("--items", type=int, default=None, help="evaluate on so many items only")
    parser.add_argument("--runs", type=int, default=3, help="of each command, in turn")
    parser.add_argument("--peers", nargs="*", default=PEERS, help="tools beside ours")
    parser.add_argument("--output", type=Path, default=None, help="write the tables to this Markdown file too")
    given = parser.parse_args()
    options = [] if given.items is None else [f"evaluation.count={given.items}"]
    parts = [f"Measured on {machine()}."]
    print(parts[0], flush=True)
    for case in cases(given.models):
        rounds = [rows_of(case, options, given.peers) for _ in range(given.runs)]
        rows = [best_of(runs) for runs in zip(*rounds, strict=True)]
        parts += [f"### {case.name}", comparison(rows, rows[0])]
        stages = rows[0].seconds_by_stage or {}
        parts.append("Ours by stage, s: " + ", ".join(f"{name} {value:.1f}" for name, value in stages.items()) + ".")
        print("\n" + "\n\n".join(parts[-3:]), flush=True)
    if given.output is not None:
        given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
