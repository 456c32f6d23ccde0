"""What a strategy needs of the search, told by attributes beside its method.

Nothing has to be said: each attribute has a default, and this is the only place that reads them.

| attribute of a strategy | says | where nothing is said |
| --- | --- | --- |
| ``always`` | it has something to propose also where the first plan is accepted | False |
| ``in_full`` | which trials are scored over every item before it is told of them, see ``InFull`` | "chosen" |
| ``needs_loss_contributions`` | the ranking's values have to be the layers' parts in the loss at the outputs | False |
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.plan import InFull, Strategy


@dataclass(frozen=True, slots=True)
class StrategyNeeds:
    """What a strategy needs; see the table above."""

    always: bool = False
    in_full: InFull = "chosen"
    loss_contributions: bool = False

    @classmethod
    def of(cls, strategy: Strategy) -> StrategyNeeds:
        """Return what a strategy says of itself."""
        return cls(
            always=bool(getattr(strategy, "always", False)),
            in_full=getattr(strategy, "in_full", "chosen"),
            loss_contributions=bool(getattr(strategy, "needs_loss_contributions", False)),
        )
