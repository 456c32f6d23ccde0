"""How much every layer in int8 costs: ``python -m benchmarks.accuracy [--models NAME…] [--ablation] [--output FILE]``.

One table a model: our presets, with residual adds as AMCT has them (float) and as NNCF (quantized, ``tensor_quantize=adds``),
each correction alone, NNCF and onnxruntime, with their defaults, 100 calibration items and all evaluation items. The floor is
what the zoo's own notes give for float weights and only the inputs of layers quantized: the better of min-max and least squared
error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cases import Case, cases
from benchmarks.row import Row, ours, peer
from benchmarks.table import machine, markdown

MODELS = ("tf2_ptq_float", "tf2_dither_bn", "st_mobilenet_v2", "resnet20", "kws_float", "vit_mnist", "mnist_cntk")
PRESETS = ("amct", "fast", "best")
CORRECTIONS = {
    "isolated bias": ("correction.bias=isolated",),
    "sequential bias": ("correction.bias=sequential",),
    "sequential bias and scale": ("correction.bias=sequential", "correction.scale=true"),
    "compensated rounding": ("correction.rounding=compensated",),
    "range by output": ("correction.range=output",),
    "whole pixels": ("correction.pixels=true",),
    "equalization": ("correction.equalize=true",),
    "balancing by prediction": ("correction.balance=auto",),
}
# Models with Adds of two computed values.
RESIDUAL = ("tf2_ptq_float", "tf2_dither_bn", "st_mobilenet_v2", "resnet20", "vit_mnist")
ADDS = "tensor_quantize=adds"
PEERS = ("nncf-all", "ort-minmax", "ort-percentile")
# KL of the zoo's activation-only floors.
FLOORS = {
    "tf2_ptq_float": 0.0027,
    "tf2_dither_bn": 0.0027,
    "st_mobilenet_v2": 0.0003,
    "resnet20": 0.0023,
    "kws_float": 0.0017,
    "vit_mnist": 0.00004,
}
# Every layer stays int8 whatever it costs.
_ALL = ("target_loss=100", "cache=none", "verify.device=none", "verify.count=4")


def rows_of(case: Case, options: list[str], *, ablation: bool) -> list[Row]:
    """Return a model's rows."""
    rows = [ours(case, *options, *_ALL, f"quant={preset}", label=f"quant={preset}") for preset in PRESETS]
    if case.name in RESIDUAL:
        rows += [
            ours(case, *options, *_ALL, f"quant={preset}", ADDS, label=f"quant={preset}, adds") for preset in PRESETS
        ]
    if ablation:
        plain = (*_ALL, "quant=amct", "observer=minmax")
        rows.append(ours(case, *options, *plain, label="min-max"))
        rows += [ours(case, *options, *plain, *given, label=f"min-max, {name}") for name, given in CORRECTIONS.items()]
    return [*rows, *(peer(case, tool, *options) for tool in PEERS)]


def table(case: Case, rows: list[Row]) -> str:
    """Return a model's table; F is one evaluation of the float model, from the first of our rows that has it."""
    floor = FLOORS.get(case.name)
    unit = next((row.float_seconds for row in rows if row.float_seconds), None)
    cells = []
    for row in rows:
        stages = row.seconds_by_stage or {}
        # A peer's own time has no stages; what its process took says little beside a stage of ours.
        cost = f"{stages['calibrate'] / unit:.1f}" if unit and "calibrate" in stages else ""
        cells.append(
            [
                row.tool,
                "" if row.kl is None else f"{row.kl:.2g}",
                "" if row.kl is None or floor is None else f"{row.kl / floor:.2f}",
                "" if row.agreement is None else f"{row.agreement:.3f}",
                "" if row.loss is None else f"{row.loss:.2f}",
                "" if row.int8 is None else str(row.int8),
                cost,
                row.note,
            ]
        )
    return markdown(["", "KL", "x floor", "agreement", "loss", "int8", "calibration, F", ""], cells)


def main() -> None:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="zoo models; default all with labels")
    parser.add_argument("--items", type=int, default=None, help="evaluate on so many items only")
    parser.add_argument("--ablation", action="store_true", help="each correction alone, too")
    parser.add_argument("--output", type=Path, default=None, help="write the tables to this Markdown file too")
    given = parser.parse_args()
    options = [] if given.items is None else [f"evaluation.count={given.items}"]
    parts = [f"Measured on {machine()}."]
    print(parts[0], flush=True)
    for case in cases(given.models):
        parts += [f"### {case.name}", table(case, rows_of(case, options, ablation=given.ablation))]
        print("\n" + "\n\n".join(parts[-2:]), flush=True)
        if given.output is not None:
            given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
