"""Read a configuration of either form; which one is told by the first character."""

from __future__ import annotations

from pathlib import Path

from runner.amct_config.cfg_file import SimplifiedConfig, parse_cfg
from runner.amct_config.json_file import parse_config
from runner.amct_config.model import QuantConfig
from runner.errors import RecordError
from runner.strict_json import read_text


def read_config(path: Path) -> QuantConfig | SimplifiedConfig:
    """Return what a config.json, final_config.json or simplified ``.cfg`` says.

    Raises:
        RecordError: the file is missing, empty, or breaks its format.
    """
    text = read_text(path, "quant_config")
    if not text.strip() and path.suffix != ".cfg":
        raise RecordError(f"quant_config: {path} is empty; expected AMCT's config.json or simplified .cfg.")
    # Protobuf text of a configuration starts with a field's name, never with a brace.
    if text.lstrip().startswith("{") or path.suffix == ".json":
        return parse_config(text, str(path))
    return parse_cfg(text, str(path))
