"""Arrays: .npz, .npy, Parquet and raw batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz import seeds
from benchmarks.fuzz.archives import members, npy_head
from benchmarks.fuzz.damage import anywhere
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.subjects.job import quick_job
from benchmarks.fuzz.tables import table_values
from runner import BinBatches, NpyDataset, NpzDataset, ParquetDataset
from runner.dataset.item import Dataset

_ROWS = np.random.default_rng(6).normal(size=(8, 6)).astype(np.float32)
_CLASSES = np.arange(8) % seeds.CLASSES


def arrays(folder: Path) -> Sequence[Spot]:
    """Damage files of arrays, which a job calibrates and evaluates on."""
    model = folder / "net.onnx"
    model.write_bytes(seeds.product().SerializeToString())
    np.savez(folder / "data.npz", x=_ROWS, y=_CLASSES)
    np.save(folder / "x.npy", _ROWS)
    np.save(folder / "y.npy", _CLASSES)
    columns = {"image": _ROWS.tolist(), "label": _CLASSES}
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    pq.write_table(pa.table(columns), folder / "packed.parquet", compression="snappy", row_group_size=3)
    (folder / "bins").mkdir(exist_ok=True)
    (folder / "bins" / "batch.bin").write_bytes(_ROWS.tobytes())

    def npy() -> Dataset:
        return NpyDataset(str(folder / "x.npy"), str(folder / "y.npy"))

    def spot(name: str, damages: Sequence[Callable[..., bytes]], data: Callable[[], Dataset]) -> Spot:
        return Spot(folder / name, damages, lambda: quick_job(model, data(), folder / "job"))

    inner = members(lambda rng, data: rng.choice([anywhere, npy_head])(rng, data))
    return [
        spot("data.npz", [anywhere, inner, inner], lambda: NpzDataset(str(folder / "data.npz"))),
        spot("x.npy", [anywhere, npy_head], npy),
        spot("y.npy", [anywhere, npy_head], npy),
        spot("rows.parquet", [anywhere, table_values], lambda: ParquetDataset(str(folder / "rows.parquet"))),
        spot("packed.parquet", [anywhere], lambda: ParquetDataset(str(folder / "packed.parquet"))),
        spot("bins/batch.bin", [anywhere], lambda: BinBatches(str(folder / "bins"), "x:8,6")),
    ]
