"""How time and memory grow: ``python -m benchmarks.scaling [--quick] [--only TABLE…] [--output FILE]``.

Items 100 to 10 000 (calibrated on all of them), layers 10 to 300, models of 1 MB to 1 GB, outputs of 1 kB to 22 MB an item,
layers that sum 1024 to 25 088 inputs; generated models, one job each with a target that all-int8 meets. Whole commands.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.generated import images, network, pixelwise, product, vectors
from benchmarks.row import Row, ours
from benchmarks.table import machine, markdown

_MEETS_ALL = ("target_loss=100", "cache=none", "verify.device=none")
# (label, layers, channels): 36 * channels^2 bytes a layer.
_SIZES = (("1 MB", 8, 64), ("10 MB", 8, 192), ("100 MB", 8, 608), ("1 GB", 20, 1200))
# Inputs of a layer; the last is VGG's first Gemm.
_WIDTHS = (1024, 2048, 4096, 6144, 12288, 25088)
# Classes and pixels of a side.
_OUTPUTS = (("1 kB", 4, 8), ("100 kB", 7, 60), ("1 MB", 16, 128), ("22 MB", 21, 512))
_OBSERVERS = ("minmax", "percentile", "hfmg", "ifmr")


def job(model: Path, data: tuple[Path, Path], *options: str) -> Row:
    """Run one job on generated files."""
    given = ["model=file", f"model.path={model}", "dataset=npy", f"dataset.path={data[0]}", f"dataset.labels={data[1]}"]
    return ours(Case("generated", tuple(given)), *_MEETS_ALL, *options)


def by_items(folder: Path, counts: list[int]) -> str:
    """Return time and memory over the number of calibration items, an observer a row."""
    model = network(folder / "net.onnx", layers=6, channels=24, size=32)
    rows = []
    for observer in _OBSERVERS:
        found = [
            job(model, images(folder, n, 32), f"observer={observer}", f"calibration.count={n}", "evaluation.count=50")
            for n in counts
        ]
        rows.append(
            [
                observer,
                *(f"{row.seconds:.1f} s, {row.peak_mib:.0f} MiB" if not _bad(row) else row.note for row in found),
            ]
        )
    return markdown(["observer", *(f"{count} items" for count in counts)], rows)


def by_layers(folder: Path, counts: list[int]) -> str:
    """Return time and memory over the number of layers."""
    data = images(folder, 200)
    rows = []
    for layers in counts:
        row = job(network(folder / f"l{layers}.onnx", layers=layers, channels=8), data, "calibration.count=50")
        stages = row.seconds_by_stage or {}
        rows.append(
            [
                str(layers + 1),
                f"{row.seconds:.1f}",
                f"{stages.get('model_work', 0):.1f}",
                f"{row.peak_mib:.0f}",
                row.note,
            ]
        )
    return markdown(["layers", "wall s", "model work s", "peak MiB", ""], rows)


def by_size(folder: Path, largest: int) -> str:
    """Return time and memory over the size of the weights."""
    data = images(folder, 10, 8)
    rows = []
    for label, layers, channels in _SIZES[:largest]:
        model = network(folder / f"s{channels}.onnx", layers=layers, channels=channels, size=8)
        row = job(model, data, "calibration.count=4", "observer=minmax")
        rows.append([label, f"{row.seconds:.1f}", f"{row.peak_mib:.0f}", row.note])
        for path in folder.glob(f"s{channels}.onnx*"):
            path.unlink()
    return markdown(["weights", "wall s", "peak MiB", ""], rows)


def by_output(folder: Path, largest: int) -> str:
    """Return time and memory over the size of the outputs of an item; 40 items."""
    rows = []
    for label, classes, side in _OUTPUTS[:largest]:
        model = pixelwise(folder / f"o{classes}.onnx", classes=classes, size=side)
        row = job(model, images(folder, 40, side), "calibration.count=10", "metric=sqnr")
        stages = row.seconds_by_stage or {}
        rows.append(
            [label, f"{row.seconds:.1f}", f"{stages.get('float_eval', 0):.1f}", f"{row.peak_mib:.0f}", row.note]
        )
    return markdown(["output of an item", "wall s", "float evaluation s", "peak MiB", ""], rows)


def by_width(folder: Path, widths: Sequence[int], outputs: int) -> str:
    """Return time and memory over the number of inputs that a layer sums, rounded to nearest and compensated."""
    rows = []
    for width in widths:
        model, data = product(folder / f"p{width}.onnx", inputs=width, outputs=outputs), vectors(folder, 100, width)
        found = [
            job(model, data, "quant=amct", "observer=minmax", "metric=sqnr", f"correction.rounding={rounding}")
            for rounding in ("nearest", "compensated")
        ]
        model.unlink()
        plain, made = found
        told = [f"{row.peak_mib:.0f}" if not _bad(row) else row.note for row in found]
        more = "" if any(map(_bad, found)) else f"{made.peak_mib - plain.peak_mib:.0f}"
        rows.append([f"{width} x {outputs}", *told, more, f"{plain.seconds:.1f}", f"{made.seconds:.1f}"])
    head = ["weight", "nearest MiB", "compensated MiB", "more", "nearest s", "compensated s"]
    return markdown(head, rows)


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small ends only")
    parser.add_argument("--only", nargs="*", default=None, help="titles of tables: 'Layers' 'Output size'")
    parser.add_argument("--outputs", type=int, default=1000, help="of the layers of several widths")
    parser.add_argument("--output", type=Path, default=None, help="write the tables to this Markdown file too")
    given = parser.parse_args()
    parts = [f"Measured on {machine()}."]
    print(parts[0], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tables: tuple[tuple[str, Callable[[], str]], ...] = (
            ("Calibration items", lambda: by_items(root, [100, 300] if given.quick else [100, 1000, 10_000])),
            ("Layers", lambda: by_layers(root, [10, 30] if given.quick else [10, 30, 100, 300])),
            ("Width of a layer", lambda: by_width(root, _WIDTHS[: 2 if given.quick else None], given.outputs)),
            ("Output size", lambda: by_output(root, 2 if given.quick else len(_OUTPUTS))),
            ("Model size", lambda: by_size(root, 2 if given.quick else len(_SIZES))),
        )
        for title, table in tables:
            if given.only and title not in given.only:
                continue
            # Each is told as soon as it is known.
            parts += [f"### {title}", table()]
            print("\n" + "\n\n".join(parts[-2:]), flush=True)
    if given.output is not None:
        given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _bad(row: Row) -> bool:
    return row.note.startswith("failed")


if __name__ == "__main__":
    main()
