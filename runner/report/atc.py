"""The command that turns a deploy model into an offline model for the NPU."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def atc_command(deploy: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the complete ``atc`` line for a deploy model.

    Args:
        deploy: path of the deploy model.
        input_shapes: with the batch axis; quantized deploy models need every size fixed. A scalar's is left out: ATC's manuals
            of every version allow that, those up to CANN 7 know no way to write it.
    """
    shapes = ";".join(f"{name}:{','.join(map(str, shape))}" for name, shape in input_shapes.items() if shape)
    model, output = shlex.quote(str(deploy)), shlex.quote(str(deploy.with_suffix("")))
    return f'atc --framework=5 --model={model} --output={output} --input_shape="{shapes}" --soc_version=Ascend310P3'
