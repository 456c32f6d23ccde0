"""AMCT files that a job is given: a configuration to start from, or a record to build from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runner.amct_config.cfg_file import SimplifiedConfig
from runner.amct_config.model import QuantConfig
from runner.amct_config.read import read_config
from runner.errors import ConfigError
from runner.graph.rewriting import Rewriting
from runner.modes.files.integers_file import Integers, read_integers
from runner.modes.files.rewriting_file import read_rewriting
from runner.record import Record
from runner.record_text import read_record
from runner.wording import say

# Items that calibration looks at where nothing says how many, and there are so many.
DEFAULT_COUNT = 100
# AMCT counts batches, of which one may be enough; this tool counts items.
_FEW = 8


@dataclass(frozen=True, slots=True, eq=False)
class GivenFiles:
    """What the files say; None where there is no such file.

    Attributes:
        name: of the file, for messages.
        integers: of the record's layers, where corrections made them; None where the scales alone say them.
        rewriting: of the model that the record is of.
    """

    name: str = ""
    config: QuantConfig | SimplifiedConfig | None = None
    record: Record | None = None
    integers: Integers | None = None
    rewriting: Rewriting = field(default_factory=Rewriting)

    def folds(self, layer: str) -> bool:
        """Return whether BatchNormalization may be folded into a layer."""
        if self.record is not None:
            entry = self.record.layers.get(layer)
            return entry is None or not entry.skip_fusion
        return self.config is None or self.config.folds(layer)

    def calibration_count(self, wanted: int | None, available: int) -> tuple[int, str]:
        """Return how many items calibration looks at, and what says so.

        As wanted, else the configuration's batch_num, else 100 or all there are.
        """
        if wanted is not None:
            return wanted, "calibration.count"
        if self.config is None:
            return min(DEFAULT_COUNT, available), "calibration.count"
        return self.config.batch_num, f"{self.name}: batch_num"

    def warnings(self, wanted: int | None) -> tuple[str, ...]:
        """Return what the user should know of the files, given the wanted number of calibration items."""
        if self.config is None:
            return ()
        dropped = self.config.warnings if isinstance(self.config, SimplifiedConfig) else ()
        if wanted is not None or self.config.batch_num >= _FEW:
            return dropped
        return (
            *dropped,
            say(
                "{name}: batch_num {batch_num} counts batches in AMCT and items here; set calibration.count=N "
                "for more.",
                name=self.name,
                batch_num=self.config.batch_num,
            ),
        )


def read_given(quant_config: str | None, record: str | None) -> GivenFiles:
    """Return what the named files say.

    Raises:
        ConfigError: both are named.
        RecordError: one cannot be read or breaks its format.
    """
    if quant_config is not None and record is not None:
        raise ConfigError("record: a record holds the scales already; give it or quant_config, not both.")
    if quant_config is not None:
        return GivenFiles(quant_config, config=read_config(Path(quant_config)))
    if record is not None:
        path = Path(record)
        given = read_record(path)
        return GivenFiles(record, record=given, integers=read_integers(path), rewriting=read_rewriting(path))
    return GivenFiles()
