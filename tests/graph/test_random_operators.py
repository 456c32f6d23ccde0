"""A model that draws random numbers is refused by its node's name."""

from __future__ import annotations

import numpy as np
import pytest

from runner.errors import ModelError
from runner.graph.prepare import prepare
from runner.graph.random_operators import refuse_random
from runner.targets.ascend.limits import ASCEND
from tests.models import model

GRAPH = "g (float[2,3] x) => (float[2,3] y) { r = %s\n y = Add (x, r) }"


@pytest.mark.parametrize(
    "made",
    ["RandomNormalLike (x)", "RandomUniform <shape = [2,3]> ()", "Bernoulli (x)", "Dropout (x, ratio, yes)"],
)
def test_model_that_draws_random_numbers_is_refused(made: str) -> None:
    with pytest.raises(
        ModelError, match=rf"{made.split()[0]} '{made.split()[0]}_0' draws random numbers: .*evaluation mode"
    ):
        prepare(model(GRAPH % made, ratio=np.float32(0.5), yes=np.bool_(True)), ASCEND)


def test_dropout_of_inference_draws_none() -> None:
    refuse_random(model(GRAPH % "Dropout (x, ratio, no)", ratio=np.float32(0.5), no=np.bool_(False)).graph)
