"""Our Q/DQ file of one model, by the whole command: ``python -m benchmarks.qdq_make ROUNDED FOLDER OPTIONS…``.

Writes model.onnx and peer.json there, as ``benchmarks.peer`` does for the peers. The target is out of reach on purpose, so that
every layer is int8 as theirs are.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from benchmarks.process import python

_ANY_LOSS = "target_loss=1000000000"

if __name__ == "__main__":
    rounded, folder, options = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    start = time.perf_counter()
    ours = [
        "target=qdq",
        f"target.rounded={rounded}",
        _ANY_LOSS,
        "tracking=none",
        "cache=none",
        f"paths.output={folder}",
    ]
    ended = python(["-m", "runner", *options, *ours])
    seconds = time.perf_counter() - start
    if ended.status:
        raise SystemExit(ended.output[-2000:])
    (written,) = (folder / "acc_auto" / "results").glob("*_qdq_model.onnx")
    shutil.copy(written, folder / "model.onnx")
    summary = json.loads((folder / "acc_auto" / "summary.json").read_text(encoding="utf-8"))
    figures = {"seconds": seconds, "tensors": summary["tensors_quantized"]}
    (folder / "peer.json").write_text(json.dumps(figures), encoding="utf-8")
