"""Parquet tables of other types and values: whole files, in which the damage is what they say."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq

_COLUMNS = (
    pa.array([None] * 4),
    pa.array(["a", "", "\x1b[2J", None]),
    pa.array([b"", b"\xff\xd8\xff", b"%!PS", None]),
    pa.array([[], [1.0], [1.0, 2.0], None]),
    pa.array([[[1.0, 2.0], [3.0]], [], [[]], None]),
    pa.array([{"bytes": b"x", "path": None}] * 4),
    pa.array([{"other": 1}] * 4),
    pa.array([1, 2**63 - 1, -(2**63), None]),
    pa.array([1.5, float("nan"), float("inf"), -0.0]),
    pa.array([True, False, None, True]),
    pa.array([1, 2, 3, 4], pa.timestamp("ns")),
    pa.array(["x", "y", "x", "y"]).dictionary_encode(),
    pa.array([1, 2, 3, 4], pa.decimal128(38, 10)),
    pa.array([[("k", 1)], [], None, [("k", 2)]], pa.map_(pa.string(), pa.int64())),
    pa.array([[1.0] * 6] * 4, pa.list_(pa.float32(), 6)),
    pa.array([[1.0] * 6] * 4, pa.list_(pa.float16())) if hasattr(pa, "float16") else pa.array([1] * 4),
)


def table_values(rng: random.Random, data: bytes) -> bytes:
    """Put columns of other types in the place of a table's."""
    table = pq.read_table(io.BytesIO(data)).slice(0, 4)
    names = table.column_names
    columns = {name: table.column(name) for name in names}
    for _ in range(rng.randint(1, 2)):
        columns[rng.choice([*names, "label", "x"])] = rng.choice(_COLUMNS)
    changed = pa.table(columns)
    if rng.random() < 0.1:
        changed = changed.slice(0, 0)
    stream = io.BytesIO()
    pq.write_table(changed, stream)
    return stream.getvalue()
