"""Min-max ranges."""

from __future__ import annotations

import numpy as np
import pytest

from runner.calibration.ifmr import Ifmr
from runner.calibration.minmax import MinMax
from runner.ranges import Range, activation_params


def seen(items: list[np.ndarray], observer: MinMax | Ifmr) -> Range:
    statistic = observer.start(len(items))
    again = True
    while again:
        for item in items:
            statistic.merge(statistic.reduce(item.astype(np.float32)))
        again = statistic.end_pass()
    return statistic.result()


def test_range_is_the_extremes_over_all_items_in_one_pass() -> None:
    items = [np.array([[1.0, -2.0]]), np.array([0.5]), np.array([[-1.0], [7.0]])]
    statistic = MinMax().start(3)
    for item in items:
        statistic.merge(statistic.reduce(item.astype(np.float32)))
    assert statistic.end_pass() is False
    assert statistic.result() == Range(-2.0, 7.0)


@pytest.mark.parametrize("asymmetric", [True, False])
@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_the_ifmr_options_written_for_amct_mean_the_same_range(asymmetric: bool, shift: float) -> None:
    items = list((np.random.default_rng(0).normal(size=(3, 50)) + shift).astype(np.float32))
    params = MinMax(asymmetric).amct_params()
    keys = ("max_percentile", "min_percentile", "search_range", "search_step", "asymmetric")
    as_amct = Ifmr(**{key: params[key] for key in keys})
    assert params["act_algo"] == "ifmr" and as_amct.ratios().tolist() == [1.0]
    symmetric = not asymmetric
    assert activation_params(seen(items, as_amct), symmetric=symmetric) == activation_params(
        seen(items, MinMax(asymmetric)), symmetric=symmetric
    )
