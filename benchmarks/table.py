"""Rows as a Markdown table, which is what the terminal shows and what docs/ keeps."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.row import Row
from runner.report.environment import versions
from runner.store.key import cpu_name


def machine() -> str:
    """Return one line on the machine and the libraries."""
    from runner.engine import available_cores

    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{available_cores()} cores of {cpu_name()}; {found}"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def comparison(rows: Sequence[Row], reference: Row) -> str:
    """Return one case's rows; F and the ratio are taken from ``reference``, which ran beside them."""
    unit = reference.float_seconds
    headings = [
        "tool",
        "wall s",
        "F",
        "ratio",
        "full / partial",
        "peak MiB",
        "top-1",
        "loss",
        "KL",
        "agreement",
        "int8",
        "",
    ]
    cells = [
        [
            row.tool,
            f"{row.seconds:.1f}" + ("" if row.median is None else f" / {row.median:.1f}"),
            "" if not unit else f"{row.seconds / unit:.1f}",
            "" if row.seconds == 0 else f"{row.seconds / reference.seconds:.2f}",
            "" if row.full is None else f"{row.full} / {row.partial}",
            f"{row.peak_mib:.0f}",
            _number(row.top1, ".2f"),
            _number(row.loss, ".2f"),
            _number(row.kl, ".2g"),
            _number(row.agreement, ".3f"),
            "" if row.int8 is None else str(row.int8),
            row.note,
        ]
        for row in rows
    ]
    return markdown(headings, cells)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
