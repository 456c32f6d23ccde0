"""The commands that check a deploy model, turn it into an offline model, and hold a dump of that against the run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_ACTIVE_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')


def atc_command(deploy: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the complete ``atc`` line for a deploy model.

    Args:
        deploy: path of the deploy model.
        input_shapes: with the batch axis; quantized deploy models need every size fixed. A scalar's is left out: ATC's manuals
            of every version allow that, those up to CANN 7 know no way to write it.
    """
    shapes = ";".join(f"{name}:{','.join(map(str, shape))}" for name, shape in input_shapes.items() if shape)
    quoted = _ACTIVE_IN_DOUBLE_QUOTES.sub(r"\\\1", shapes)
    model, output = shlex.quote(str(deploy)), shlex.quote(str(deploy.with_suffix("")))
    return f'atc --framework=5 --model={model} --output={output} --input_shape="{quoted}" --soc_version=Ascend310P3'


def check_command(deploy: Path) -> str:
    """Return the ``atc`` line that only checks a deploy model's operators: no chip is named, none is needed."""
    model, report = (shlex.quote(str(path)) for path in (deploy, deploy.with_name(f"{deploy.stem}_check.json")))
    return f"atc --mode=3 --framework=5 --model={model} --check_report={report}"


def compare_command(intermediates: Path) -> str:
    """Return the ``quant-compare-dump`` line for a folder of intermediate values."""
    return f"quant-compare-dump {shlex.quote(str(intermediates))} DUMPS"
