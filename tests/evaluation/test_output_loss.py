"""What a model loses at its outputs for each item."""

from __future__ import annotations

import numpy as np

from runner.evaluation.output_loss import item_losses


def test_contribution_is_kl_of_a_classifier_and_relative_noise_otherwise() -> None:
    sqnr = np.array([[4.0, 1.0, 9.0], [0.0, 0.0, 9.0], [2.0, 3.0, 9.0]])
    measure, values = item_losses({"top1": np.ones((3, 1)), "sqnr": sqnr, "kl": np.array([[0.1], [0.2], [0.3]])})
    assert measure == "kl" and values.tolist() == [0.1, 0.2, 0.3]
    measure, values = item_losses({"mse": np.ones((3, 2)), "sqnr": sqnr})
    assert measure == "noise" and values.tolist() == [0.25, 0.0, 1.5]


def test_relative_noise_of_an_item_is_that_of_its_worst_output() -> None:
    boxes, scores = (
        [[1e6, 1.0, 9.0], [1e6, 2e5, 9.0], [1e6, 0.0, 9.0]],
        [[4.0, 2.0, 5.0], [4.0, 0.0, 5.0], [0.0, 1.0, 5.0]],
    )
    measure, values = item_losses({"sqnr": np.concatenate([boxes, scores], axis=1)})
    assert measure == "noise" and values.tolist() == [0.5, 0.2, 1.0]
