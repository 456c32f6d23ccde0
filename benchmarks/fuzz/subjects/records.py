"""What a job reads of an earlier one or of AMCT: record, integers, rewriting, configurations, ranking, history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz import seeds
from benchmarks.fuzz.archives import members, npy_head
from benchmarks.fuzz.damage import Damage, anywhere, lines
from benchmarks.fuzz.spot import Spot
from benchmarks.fuzz.subjects.job import quick_job
from benchmarks.fuzz.trees import json_tree
from runner import Correction, NpzDataset
from runner.amct_config.read import read_config
from runner.modes.files.amct_files import read_history, read_ranking

_CFG = """batch_num : 1
activation_offset : true
skip_layers : "Conv_first"
do_fusion : true
override_layer_types : {
    layer_type : "Gemm"
    calibration_config : {
        arq_quantize : { channel_wise : false }
        ifmr_quantize : { search_range_start : 0.8 search_range_end : 1.2 search_step : 0.02 max_percentile : 0.999999 }
    }
}
"""


def record(folder: Path) -> Sequence[Spot]:
    """Damage the files of a result that a job starts from, and those that hold what a search found."""
    model = folder / "net.onnx"
    model.write_bytes(seeds.convolutions().SerializeToString())
    np.savez(folder / "data.npz", x=seeds.items())

    def again(**given: Any) -> None:  # noqa: ANN401
        quick_job(model, NpzDataset(str(folder / "data.npz")), folder / "job", **given)

    smoothing = Correction(equalize=True, balance="auto", rounding="compensated", bias="sequential")
    quick_job(model, NpzDataset(str(folder / "data.npz")), folder / "first", correction=smoothing)
    found = folder / "first"
    (folder / "simple.cfg").write_text(_CFG, encoding="utf-8")
    given = str(found / "tmp" / "scale_offset_record.txt")

    def spot(path: Path, damages: Sequence[Damage], use: Callable[[], object]) -> Spot:
        assert path.is_file(), path
        return Spot(path, damages, use)

    def of_result(name: str, damages: Sequence[Damage]) -> Spot:
        return spot(found / "tmp" / name, damages, lambda: again(record=given))

    results, log = found / "results", found / "amct_log"
    ranking = results / "accuracy_based_auto_calibration_ranking_info.json"
    history = log / "accuracy_based_auto_calibration_record.json"
    inner = members(lambda rng, data: rng.choice([anywhere, npy_head])(rng, data))
    texts: list[Damage] = [anywhere, lines, lines]
    trees: list[Damage] = [anywhere, lines, json_tree, json_tree]
    config = found / "tmp" / "config.json"
    made = [
        of_result("scale_offset_record.txt", texts),
        spot(config, trees, lambda: again(quant_config=str(config))),
        spot(folder / "simple.cfg", texts, lambda: again(quant_config=str(folder / "simple.cfg"))),
        spot(config, trees, lambda: read_config(config)),
        spot(ranking, trees, lambda: read_ranking(ranking)),
        spot(history, trees, lambda: read_history(history)),
    ]
    for name, damages in (("integers.npz", [anywhere, inner, inner]), ("rewriting.json", trees)):
        if (found / "tmp" / f"scale_offset_record.{name}").is_file():
            made.append(of_result(f"scale_offset_record.{name}", damages))
    return made
