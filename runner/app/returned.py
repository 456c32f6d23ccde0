"""What a job returns to Hydra, which hands it to the sweeper."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from runner.errors import ConfigError
from runner.report.objective import objectives, returned

# A job that ends with one of these has a result: met, missed, or the best that a budget allowed.
WITH_RESULT = (0, 3, 6)


def returned_value(config: DictConfig, status: int) -> float | list[float]:
    """Return what ``tune.objective`` names, read from the summary of the job that has just ended; infinite without a result.

    Args:
        config: the job's.
        status: its exit status.
    """
    named = OmegaConf.select(config, "tune.objective")
    try:
        wanted = objectives(list(named) if isinstance(named, ListConfig) else named)
    except ConfigError:
        return math.inf  # the job has refused it
    if status not in WITH_RESULT:
        return returned(wanted, None)
    path = Path(HydraConfig.get().runtime.output_dir, "summary.json")
    return returned(wanted, json.loads(path.read_text(encoding="utf-8")))
