"""Whatever a file holds, it is read or refused in one sentence: no traceback, no noise, no hang, bounded memory."""

from __future__ import annotations

import collections

import pytest

from benchmarks.fuzz.outcome import FAULTS, FINE, REFUSED
from benchmarks.fuzz.subjects import SUBJECTS
from benchmarks.fuzz.watch import outcomes

# Other inputs than the long runs' first ones.
SEED, COUNT = 20, 200


@pytest.mark.parametrize("subject", SUBJECTS)
def test_damaged_inputs_are_read_or_refused_in_a_sentence(subject: str) -> None:
    ends = list(outcomes(subject, range(COUNT), SEED))
    faults = [f"--show {end.number}: {end.kind}: {end.message[-400:]}" for end in ends if end.kind in FAULTS]
    assert not faults, f"python -m benchmarks.fuzz {subject} --seed {SEED} {faults[0]}"
    counts = collections.Counter(end.kind for end in ends)
    assert counts[FINE] + counts[REFUSED] == COUNT
    # Damage that nobody ever notices, or that nothing ever survives, would try nothing.
    assert counts[FINE] > 0
