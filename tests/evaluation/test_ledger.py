"""How often models were run."""

from __future__ import annotations

from runner.evaluation.ledger import Ledger


def test_a_model_that_goes_on_where_it_stopped_is_one_model() -> None:
    ledger = Ledger()
    for whole, continued, counts in [
        (True, False, (1, 0)),
        (False, False, (1, 1)),
        (False, False, (1, 2)),
        (True, True, (2, 1)),
        (False, True, (2, 1)),
    ]:
        ledger.ran(whole=whole, continued=continued)
        assert (ledger.full, ledger.partial) == counts


def test_items_are_counted_as_they_are_taken() -> None:
    ledger = Ledger()
    outputs = ledger.counted("abc")
    assert (next(outputs), ledger.items) == ("a", 1)
    assert ([*outputs], ledger.items) == (["b", "c"], 3)
