"""``check_deploy``: everything in a deploy file that ATC would refuse or silently misread."""

from __future__ import annotations

import os
from pathlib import Path

from runner.lint.ascend_operators import check_ascend_operator
from runner.lint.deploy_file import ANTI_QUANT, DEFAULT_DOMAINS, DEQUANT, QUANT, DeployFile, read_deploy
from runner.lint.finding import Finding
from runner.lint.known_operators import check_known_operators
from runner.lint.quantized_layers import check_layers
from runner.lint.whole_model import check_whole_model


def check_deploy(path: str | os.PathLike[str]) -> list[Finding]:
    """Return what ATC would refuse or silently misread in a deploy file, ours or AMCT's; empty when nothing.

    Only the file is read: no record, and of its weights no more than the few numbers that a finding depends on. What it
    cannot see is numbers that are legal but not those that were meant.

    Args:
        path: of the ONNX file; external data is looked for beside it.

    Raises:
        ModelError: the file does not exist or is no ONNX file.
    """
    return check_opened(read_deploy(Path(path)))


def check_opened(file: DeployFile) -> list[Finding]:
    """Return the same of a file that is open; see ``check_deploy``."""
    findings = [*check_whole_model(file), *check_known_operators(file)]
    for node in file.nodes:
        if node.op_type in (QUANT, DEQUANT, ANTI_QUANT) and node.domain in DEFAULT_DOMAINS:
            findings += check_ascend_operator(file, node)
    return [*findings, *check_layers(file)]
