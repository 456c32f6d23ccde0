"""What a group of corrections means, and which values it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.correction.options import Correction
from runner.errors import ConfigError


@pytest.mark.parametrize("strength", [0.1, 0.9, -0.5, float("nan")])
def test_strength_that_amct_does_not_take_is_refused(strength: float) -> None:
    with pytest.raises(
        ConfigError, match=r"correction\.balance: expected a migration strength of 0\.2 to 0\.8, auto, sparing, or 0"
    ):
        Correction(balance=strength)


def test_balancing_alone_corrects_no_layer() -> None:
    assert Correction(balance=0.5).changes_nothing
    assert replace(Correction("isolated"), balance=0.5).of_layers == Correction("isolated")
