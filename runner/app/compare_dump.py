"""``quant-compare-dump FOLDER DUMPS``: a chip's dump held against what a job wrote, told tensor by tensor."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from runner.app.leaving import leave
from runner.app.telling import tell
from runner.app.version import VersionFlag
from runner.printable import escaped_json, printable

if TYPE_CHECKING:
    from runner.dumps.compare import DumpComparison, TensorDifference

SAME, WRONG_INPUT, PARTED = 0, 2, 4
_DESCRIPTION = """Tells, in graph order, how far each tensor of a chip's dump is from what a job with keep_intermediates=true
wrote, and the first that parts. Exit status: 0 nothing parts; 2 the input cannot be read; 4 something parts."""
_MOST_LISTED = 10


def console() -> None:
    """Entry point of ``quant-compare-dump`` and ``python -m runner.app.compare_dump``; leaves with the exit status."""
    leave(lambda: main(sys.argv[1:]), result_is_printed=True)


def main(arguments: Sequence[str]) -> int:
    """Compare what the arguments name, print a line a tensor, and return the exit status."""
    given = _parser().parse_args(arguments)
    # Imported here, so that --help comes at once.
    from runner.dumps.compare import DumpTolerance, compare_dump
    from runner.errors import RunnerError

    try:
        tolerance = DumpTolerance(given.sqnr, given.own, given.exact)
        found = compare_dump(given.folder, given.dumps, item=given.item, tolerance=tolerance)
    except RunnerError as error:
        tell(str(error))
        return WRONG_INPUT
    if given.json:
        print(escaped_json(json.dumps(_plain(found), indent=2, ensure_ascii=False, allow_nan=False)))
    else:
        for line in _lines(found):
            print(printable(line))
    return SAME if found.first is None else PARTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("quant-compare-dump", description=_DESCRIPTION)
    parser.add_argument("--version", action=VersionFlag)
    parser.add_argument("folder", type=os.path.expanduser, help="amct_log/temp... of the job, with its index.json")
    parser.add_argument(
        "dumps", type=os.path.expanduser, help="folder of .npy files that msaccucmp.py convert made of one run's dump"
    )
    parser.add_argument("--item", type=int, default=0, help="number of the item that the chip was given (default 0)")
    sqnr = (
        "where it is not known whether a tensor's operator is right for what it read, it parts below so many dB and 10 dB "
        "below all before it (default 25)"
    )
    parser.add_argument("--sqnr", type=float, default=25.0, metavar="DB", help=sqnr)
    own = (
        "an AscendQuant parts that gives a smaller share of right codes for what it read (default 0.95); sums, and what "
        "AscendDequant makes of them, have to be right altogether"
    )
    parser.add_argument("--own", type=float, default=0.95, metavar="SHARE", help=own)
    parser.add_argument("--exact", action="store_true", help="any unequal value parts")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser


def _lines(found: DumpComparison) -> list[str]:
    rows = [
        ("", "tensor", "node", "max |diff|", "cosine", "SQNR dB", "equal", "own", "layout"),
        *map(_row, found.tensors),
    ]
    rows = [tuple(map(printable, row)) for row in rows]
    # Chinese letters are two columns wide.
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_padded(*cell) for cell in zip(row, widths, strict=True)).rstrip() for row in rows]
    if found.missing:
        lines.append(f"not in the dump: {_listed(found.missing)}")
    if found.unmatched:
        lines.append(f"in the dump only: {_listed(found.unmatched)}")
    return [*lines, *_verdict(found)]


def _verdict(found: DumpComparison) -> list[str]:
    first, unequal = found.first, found.first_unequal
    compared = sum(not tensor.reason for tensor in found.tensors)
    others = len(found.tensors) - compared
    more = f", {others} could not be, as told above" if others else ""
    lines = [f"item {found.item} ('{found.item_name}'): {compared} tensors compared{more}"]
    if unequal is None:
        lines.append("every value is equal")
    else:
        lines.append(f"first unequal value: {_named(unequal)}, {unequal.equal:.2%} of its values are equal")
    if first is None:
        lines.append("nothing parts")
        return lines
    lines.append(f"first tensor that parts: {_named(first)} ({first.dump})")
    if first.own is not None:
        source = "; what differs came from before it" if first.own == 1.0 else ""
        lines.append(f"  for what the dump says that it read, {first.own:.2%} of its values are right{source}")
    if found.hint:
        lines.append(f"  {found.hint}")
    return lines


def _row(tensor: TensorDifference) -> tuple[str, ...]:
    mark = "parts" if tensor.parts else "-" if tensor.reason else "ok"
    name = f"{tensor.layer} {tensor.tensor}"
    if tensor.reason:
        return (mark, name, tensor.node, "", "", "", "", "", tensor.reason)
    same = tensor.equal == 1.0
    return (
        mark,
        name,
        tensor.node,
        _number(tensor.max_abs, ".4g"),
        _number(tensor.cosine, ".6f"),
        "inf" if same else _number(tensor.sqnr_db, ".1f"),
        _number(tensor.equal, ".2%"),
        "" if tensor.own is None else f"{tensor.own:.2%}",
        tensor.layout,
    )


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _named(tensor: TensorDifference) -> str:
    return f"{tensor.layer} {tensor.tensor}, {tensor.node}"


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else f"{value:{form}}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"{', '.join(names[:_MOST_LISTED])}{more}"


def _plain(found: DumpComparison) -> dict[str, Any]:
    first, unequal = found.first, found.first_unequal
    return {
        **asdict(found),
        "first": None if first is None else asdict(first),
        "first_unequal": None if unequal is None else asdict(unequal),
    }


if __name__ == "__main__":
    console()
