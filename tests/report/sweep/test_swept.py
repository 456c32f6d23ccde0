"""The best job, against the rule applied to every pair of jobs."""

from __future__ import annotations

import random

import pytest

from tests.report.sweep.swept import job, sweep


def beats(one: tuple[str, float, float], other: tuple[str, float, float]) -> bool:
    """Return whether a job is better than another that kept its target too, as the rule is told."""
    _, loss, share = one
    _, other_loss, other_share = other
    return share > other_share or (share == other_share and loss < other_loss)


@pytest.mark.parametrize("seed", range(20))
def test_no_job_that_kept_its_target_beats_the_best_one(seed: int) -> None:
    chosen = random.Random(seed)
    drawn = [
        (chosen.choice(["met", "not_met", "budget"]), chosen.choice([0.0, 0.1, 0.2]), chosen.choice([0.5, 0.9, 1.0]))
        for _ in range(8)
    ]
    best = sweep(*(job(number, *one) for number, one in enumerate(drawn))).best
    kept = [(number, one) for number, one in enumerate(drawn) if one[0] == "met"]
    if best is None:
        assert kept == []
    else:
        assert drawn[best.number][0] == "met"
        assert not any(beats(one, drawn[best.number]) for _, one in kept)
        assert all(beats(drawn[best.number], one) for number, one in kept if number < best.number)


def test_nothing_is_best_where_no_target_was_kept() -> None:
    assert sweep(job(0, "not_met"), job(1, "failed"), job(2, "not run")).best is None
    assert sweep().best is None


def test_converted_model_has_no_target_to_miss() -> None:
    assert sweep(job(0, "not_met"), job(1, "converted")).best is not None


def test_what_was_run_on_what_is_named_where_it_is_one() -> None:
    assert sweep(job(0), job(1)).subject == "net on eval"
    assert sweep(job(0, "failed")).subject == ""
