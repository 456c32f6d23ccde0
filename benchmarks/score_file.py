"""``python -m benchmarks.score_file MODEL RESULT OPTIONS…``: score a quantized model in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from benchmarks.job import load
from benchmarks.score import int8_operations, score

if __name__ == "__main__":
    model, result, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    figures = dataclasses.asdict(score(model, load(options)))
    Path(result).write_text(json.dumps({**figures, "int8": int8_operations(model)}))
