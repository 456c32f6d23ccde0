"""What PyTorch exports today, quantized: ``python -m benchmarks.exports [--small] [--networks …] [--output FILE]``.

Architectures x both exporters x opsets 13 to 23, each quantized by the default options on random items; needs the extra
``exports``. ``--pack FILE`` keeps the exported files instead of quantizing them: the tests' ``networks.tar.xz`` is made so.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, Architecture, architecture
from benchmarks.export_torch import EXPORTERS, export, items
from benchmarks.process import python
from benchmarks.table import machine, markdown

# Calibrated on the first eight of sixteen; every layer int8 is wanted, so that the figure is of all of them.
_ITEMS = 16
_OPTIONS = (
    "model=file",
    "metric=sqnr",
    "target_loss=60",
    "calibration.count=8",
    "dataset=npz",
    "cache=none",
    "tracking=none",
    "verify.count=4",
)


EVERY = tuple(f"{exporter}-{opset}" for exporter, opsets in EXPORTERS.items() for opset in opsets)


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as an exporter wrote it.

    Attributes:
        wanted: the opset that was asked for; an exporter may write another.
    """

    name: str
    exporter: str
    wanted: int
    opset: int
    path: Path

    def __str__(self) -> str:
        return f"{self.name}-{self.exporter}-{self.wanted}"


def exports(
    names: list[str], folder: Path, *, small: bool, only: Container[str] = EVERY
) -> Iterator[tuple[Exported | str, Architecture]]:
    """Yield each network from each exporter at each opset, or what the exporter said instead."""
    for name in names:
        for exporter, opsets in EXPORTERS.items():
            for opset in (opset for opset in opsets if f"{exporter}-{opset}" in only):
                built = architecture(name, small=small)
                path = folder / f"{name}-{exporter}-{opset}.onnx"
                try:
                    yield Exported(name, exporter, opset, export(built, exporter, opset, path), path), built
                except RuntimeError as error:
                    yield f"{name}, {exporter}, opset {opset}: cannot be exported: {error}", built


def row(exported: Exported, built: Architecture, folder: Path) -> list[str]:
    """Quantize an exported network and return its line of the table."""
    data = folder / "data.npz"
    arrays: dict[str, Any] = dict(items(built, _ITEMS, seed=1))
    np.savez(data, **arrays)
    fields = ",".join(f"{name}:{name}" for name in built.inputs)
    out = folder / "out"
    ended = python(
        [
            "-m",
            "runner",
            *_OPTIONS,
            f"model.path={exported.path}",
            f"dataset.path={data}",
            f"dataset.inputs={{{fields}}}",
            f"paths.output={out}",
        ]
    )
    told = [exported.name, exported.exporter, str(exported.wanted), str(exported.opset)]
    summary = out / "acc_auto" / "summary.json"
    if not summary.is_file():
        return [*told, *[""] * 6, _message(ended.output)]
    figures: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    summary.unlink()
    log = (out / "acc_auto" / "amct_log" / "amct_onnx.log").read_text(encoding="utf-8")
    verify = figures.get("verify", {})
    return [
        *told,
        f"{figures['layers_int8']} of {figures['layers_total']}",
        left_alone(log),
        f"{figures['metrics']['sqnr']['quantized']:.1f}",
        f"{verify.get('identical_outputs_share', float('nan')):.0%}",
        str(unsupported(log)),
        f"{ended.seconds:.1f}",
        "",
    ]


def _message(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    return (errors or output.strip().splitlines() or ["no message"])[-1][:160]


def left_alone(log: str) -> str:
    """Return how many nodes are no layers though their operators may be, by operator and reason."""
    found = re.findall(r"left alone: .* \((\w+)\): (.*)", log)
    counts = collections.Counter((kind, reason.partition(":")[0].partition(";")[0]) for kind, reason in found)
    return ", ".join(f"{count} {kind} ({reason})" for (kind, reason), count in counts.most_common())


def unsupported(log: str) -> int:
    """Return how many findings say that ATC lacks something."""
    return len(re.findall(r"for ATC, ", log))


def pack(names: list[str], target: Path) -> None:
    """Write small exports into one archive, weights that several share once; the same bytes every time."""
    with tempfile.TemporaryDirectory() as place, tarfile.open(target, "w:xz", preset=9) as archive:
        for exported, _ in exports(names, Path(place), small=True):
            if isinstance(exported, str):
                print(exported, flush=True)
                continue
            data = exported.path.read_bytes()
            member = tarfile.TarInfo(f"{exported}.onnx")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            print(f"{exported}: opset {exported.opset}, {len(data)} bytes", flush=True)


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the small networks that the tests use")
    parser.add_argument("--networks", nargs="+", choices=sorted(ARCHITECTURES), default=list(ARCHITECTURES))
    parser.add_argument("--exports", nargs="+", choices=EVERY, default=list(EVERY), help="exporters with opsets")
    parser.add_argument("--output", type=Path, help="write the table there as well")
    parser.add_argument("--pack", type=Path, help="keep the small exports in this archive and quantize none")
    arguments = parser.parse_args()
    if arguments.pack is not None:
        pack(arguments.networks, arguments.pack)
        return
    rows, refused = [], []
    with tempfile.TemporaryDirectory() as place:
        chosen = exports(arguments.networks, Path(place), small=arguments.small, only=arguments.exports)
        for exported, built in chosen:
            if isinstance(exported, str):
                refused.append(exported)
                continue
            rows.append(row(exported, built, Path(place)))
            exported.path.unlink()
            print(" | ".join(rows[-1]), flush=True)
    heads = [
        "network",
        "exporter",
        "opset",
        "written",
        "int8",
        "left alone",
        "SQNR dB",
        "identical",
        "for ATC",
        "s",
        "",
    ]
    text = "\n".join([machine(), "", markdown(heads, rows), "", *refused])
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
