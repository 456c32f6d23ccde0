"""Our Q/DQ file of one model in one process: ``python -m benchmarks.qdq_make PLACEMENT FOLDER OPTIONS…``.

Writes model.onnx and peer.json there, as ``benchmarks.peer`` does for the peers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.job import parse
from benchmarks.qdq_form import quantize
from runner.graph.model_file import model_bytes
from runner.targets.qdq.placement import PLACEMENTS
from runner.targets.qdq.write import qdq_model

if __name__ == "__main__":
    placement, folder, options = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    start = time.perf_counter()
    made = quantize(parse(options), PLACEMENTS[placement])
    model = qdq_model(made.model, made.found, made.form)
    (folder / "model.onnx").write_bytes(model_bytes(model))
    figures = {"seconds": time.perf_counter() - start, "tensors": len(made.form.tensors)}
    (folder / "peer.json").write_text(json.dumps(figures))
