"""What is looked at, in the order in which it is told."""

from __future__ import annotations

from runner.app.doctor.case import JobCase
from runner.app.doctor.configuration import look_at_configuration
from runner.app.doctor.surroundings import (
    look_at_disk,
    look_at_downloads,
    look_at_engine,
    look_at_folder,
    look_at_tracking,
)
from runner.modes.doctor.checks import COST, MODEL_AND_DATA
from runner.modes.doctor.examine import Check

CHECKS: tuple[Check[JobCase], ...] = (
    Check("options", look_at_configuration),
    Check("downloads", look_at_downloads),
    *(Check(check.name, check.look) for check in MODEL_AND_DATA),
    Check("folder", look_at_folder),
    Check("disk", look_at_disk),
    Check("MLflow", look_at_tracking),
    Check("engine", look_at_engine),
    *(Check(check.name, check.look) for check in COST),
)
