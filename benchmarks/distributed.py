"""One job over several workers of Ray: ``python -m benchmarks.distributed [--items 20000] [--workers 1 2 4] [--callers 1 2]``.

Generated items of 3 x 32 x 32 are scored by a generated network of 6 convolutions (57 million multiply-accumulates), by
``engine=local`` with so many callers and by ``engine=ray`` with so many workers of one caller each, here. Each job is
a process of its own without a cache; its files must be those of the first one, byte for byte. Told are the seconds of the two
evaluations, of the whole job, the processor's seconds that the driver itself took, and memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.generated import images, network
from benchmarks.process import Ended, python
from benchmarks.table import machine, markdown

_OPTIONS = (
    "tracking=none",
    "cache=none",
    "model=file",
    "dataset=npy",
    "metric=sqnr",
    "target_loss=60",
    "calibration.count=32",
    "quant=fast",
)


def measured(given: Sequence[str], folder: Path, engine: Sequence[str]) -> tuple[Ended, dict[str, float], str]:
    """Run a job and return how it ended, the seconds of its stages and a digest of its results.

    Raises:
        RuntimeError: it failed.
    """
    ended = python(["-m", "runner", *_OPTIONS, *given, f"paths.output={folder}", *engine])
    if ended.status:
        raise RuntimeError(ended.output)
    root = folder / "acc_auto"
    seconds = json.loads((root / "summary.json").read_text(encoding="utf-8"))["seconds"]
    names = sorted(path for part in ("results", "tmp") for path in (root / part).rglob("*") if path.is_file())
    return ended, seconds, hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()


def main() -> None:
    """Run the jobs and print their table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    engines = {f"local, {n} callers": [f"engine.callers={n}"] for n in given.callers}
    engines |= {f"ray, {n} workers": ["engine=ray", f"engine.workers={n}", "engine.callers=1"] for n in given.workers}
    rows, first = [], None
    with tempfile.TemporaryDirectory() as folder:
        model = network(Path(folder) / "net.onnx", layers=6, channels=32, size=32)
        x, y = images(Path(folder), given.items, 32)
        chosen = [f"model.path={model}", f"dataset.path={x}", f"dataset.labels={y}"]
        for number, (name, engine) in enumerate(engines.items()):
            ended, seconds, files = measured(chosen, Path(folder) / f"{number}", engine)
            first = first or files
            evaluated = [seconds["float_eval"], seconds["search"] + seconds["final_eval"]]
            told = [f"{value:.1f}" for value in (*evaluated, ended.seconds, ended.cpu_seconds)]
            rows.append([name, *told, f"{ended.peak_mib:.0f}", "the same" if files == first else "OTHER"])
    heads = [
        "engine",
        "float evaluation s",
        "int8 evaluation s",
        "whole command s",
        "driver's CPU s",
        "driver's peak MiB",
        "files",
    ]
    print(machine())
    print(f"{given.items} items")
    print(markdown(heads, rows))


if __name__ == "__main__":
    main()
