"""The commands that turn a deploy model into an offline model for the NPU, and hold a dump of that against the run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def atc_command(deploy: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the complete ``atc`` line for a deploy model.

    Args:
        deploy: path of the deploy model.
        input_shapes: with the batch axis; quantized deploy models need every size fixed.
    """
    shapes = ";".join(f"{name}:{','.join(map(str, shape))}" for name, shape in input_shapes.items())
    model, output = shlex.quote(str(deploy)), shlex.quote(str(deploy.with_suffix("")))
    return f'atc --framework=5 --model={model} --output={output} --input_shape="{shapes}" --soc_version=Ascend310P3'


def compare_command(intermediates: Path) -> str:
    """Return the ``quant-compare-dump`` line for a folder of intermediate values."""
    return f"quant-compare-dump {shlex.quote(str(intermediates))} DUMPS"
