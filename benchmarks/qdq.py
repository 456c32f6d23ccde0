"""Our Q/DQ file beside those of NNCF and onnxruntime: ``python -m benchmarks.qdq [--models NAME…] [--output FILE]``.

Every layer in int8, the same 100 calibration items and the same evaluation items, the sessions that onnxruntime makes by
default. Models below opset 13 are raised first, for all, because peers refuse them or write files that do not load.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from benchmarks.cases import Case, cases
from benchmarks.job import parse
from benchmarks.process import python
from benchmarks.table import machine, markdown
from runner.graph.model_file import load_model
from runner.graph.opset import raise_opset

MODELS = (
    *("tf2_ptq_float", "tf2_dither_bn", "st_mobilenet_v2", "resnet20", "kws_float", "vit_mnist", "mnist_cntk"),
    *("ultraface", "yolox_nano", "ppocr_rec", "deeplab"),
)
PEERS = ("nncf-all", "ort-minmax", "ort-percentile")
_HEADINGS = ("", "KL", "SQNR dB", "agreement", "loss", "latency", "KiB", "int8 / float", "seconds", "")


def measured(
    case: Case, presets: Sequence[str], placements: Sequence[str], peers: Sequence[str], options: list[str]
) -> dict[str, Any]:
    """Return the figures of every tool's file, by label."""
    with tempfile.TemporaryDirectory() as folder:
        given = [*case.options, *options]
        source = Path(parse(given).model.path)
        model = load_model(source).graph
        if model.opset_imports[""] < 13:
            raised = Path(folder) / source.name
            ir.save(raise_opset(model), raised)
            given.append(f"model.path={raised}")
        runs = {
            f"ours, {preset}, {placement}": ["benchmarks.qdq_make", placement, f"quant={preset}"]
            for preset in presets
            for placement in placements
        } | {tool: ["benchmarks.peer", tool] for tool in peers}
        files, took, errors = {}, {}, {}
        for number, (label, (module, name, *extra)) in enumerate(runs.items()):
            own = Path(folder) / str(number)
            own.mkdir()
            ended = python(["-m", module, name, str(own), *given, *extra])
            if ended.status:
                errors[label] = {"error": ended.output.strip().splitlines()[-1][:160]}
                continue
            files[label] = str(own / "model.onnx")
            took[label] = json.loads((own / "peer.json").read_text())
        result = Path(folder) / "result.json"
        scored = python(
            ["-m", "benchmarks.qdq_score", str(result), *(f"{k}={v}" for k, v in files.items()), "--", *given]
        )
        if scored.status:
            raise SystemExit(scored.output)
        found: dict[str, Any] = json.loads(result.read_text())
    for label, figures in took.items():
        found[label] |= figures
    return found | errors


def table(found: Mapping[str, Any]) -> str:
    """Return a model's table; latency is a multiple of the float model's."""
    rows = []
    for label, row in found.items():
        loss = None if row.get("top1") is None else row["float_top1"] - row["top1"]
        layers = "" if "integer" not in row else f"{row['integer']} / {len(row['float'])}"
        cells = [
            *(_number(row, "kl", ".2g"), _number(row, "sqnr_db", ".1f"), _number(row, "agreement", ".1f")),
            *("" if loss is None else f"{loss:.2f}", _number(row, "ratio", ".2f"), _number(row, "kib", ".0f")),
            *(layers, _number(row, "seconds", ".1f"), row.get("error", "")),
        ]
        rows.append([label, *cells])
    return markdown(_HEADINGS, rows)


def _number(row: Mapping[str, Any], key: str, form: str) -> str:
    return "" if row.get(key) is None else format(row[key], form)


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="zoo models; default all that peers can do")
    parser.add_argument("--items", type=int, default=300, help="evaluate on so many items")
    parser.add_argument("--presets", nargs="*", default=["fast"], help="of our corrections")
    parser.add_argument("--placements", nargs="*", default=["fused"], help="which further inputs are rounded")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), help="beside which tools")
    parser.add_argument("--output", type=Path, default=None, help="write the tables to this Markdown file too")
    parser.add_argument("--json", type=Path, default=None, help="write all figures to this file")
    given = parser.parse_args()
    parts = [f"Measured on {machine()}."]
    figures: dict[str, Any] = {}
    print(parts[0], flush=True)
    for case in cases(given.models):
        items = min(given.items, len(parse(list(case.options)).dataset))
        options = [f"evaluation.count={items}"]
        figures[case.name] = measured(case, given.presets, given.placements, given.peers, options)
        parts += [f"### {case.name}", table(figures[case.name])]
        print("\n" + "\n\n".join(parts[-2:]), flush=True)
        if given.output is not None:
            given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        if given.json is not None:
            given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
