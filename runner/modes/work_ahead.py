"""How many items a job looks at from some point on: at most, and if nothing goes wrong, so that progress tells when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from runner.events import WorkAhead
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.data import DataSplit
from runner.search.binary import Binary
from runner.search.end_to_end import EndToEnd
from runner.search.greedy import Greedy
from runner.search.last_resort import LastResort
from runner.search.needs import StrategyNeeds
from runner.search.plan import Trial

# Beside the chosen ranking and the other one: along both, and greedily, see ``Rankings.last_resorts``.
_WALKS = 3
# How often plans are tried with few layers of a repair float, see ``reconsider``.
_RECONSIDERED = 3
# A chain of corrections for repairs, and what it is compared with.
_MORE_CORRECTIONS = 2


@dataclass(frozen=True, slots=True, eq=False)
class JobWork:
    """The work of an ``acc_auto`` job.

    Attributes:
        options: the job's.
        parts: its items.
        layers: how many can fall back.
        passes: over the calibration items, of observers and balancing.
        checked: items that checking the written files runs.
        kept: items whose intermediate values are written.
    """

    options: AccAutoOptions
    parts: DataSplit
    layers: int
    passes: int
    checked: int
    kept: int

    def from_start(self) -> WorkAhead:
        """Return what is ahead once the model is loaded."""
        ahead, before = self._to_search(all_int8=None, groups=self.layers), self._to_first_trial()
        return WorkAhead(before + ahead.items, before + self._where_met(self.layers))

    def to_fall_back(self) -> int:
        """Return what ranking, search and report look at where all layers int8 miss the target and the strategy has a plan."""
        ahead = self._to_search(all_int8=None, groups=self.layers)
        return ahead.items if ahead.likely is None else ahead.likely

    def from_first_trial(self, all_int8: Trial) -> WorkAhead:
        """Return what is ahead once the plan with every layer int8 is tried."""
        return self._to_search(all_int8=all_int8, groups=self.layers)

    def from_ranking(self, start: Trial, groups: int) -> WorkAhead:
        """Return what is ahead before the layers are ranked.

        Args:
            start: the trial of the plan to fall back from.
            groups: how many layer groups it has.
        """
        return self._to_search(all_int8=start, groups=groups)

    def from_last_resorts(self) -> WorkAhead:
        """Return what is ahead where the strategy has found nothing."""
        ahead = self._last_resorts() + self._ranked()
        return WorkAhead(ahead + self._ending(), ahead + self._ending_likely())

    def from_result(self) -> WorkAhead:
        """Return what is ahead once the plan is chosen."""
        return WorkAhead(self._ending(), self._ending_likely())

    def _to_first_trial(self) -> int:
        """Return what the float model, calibration and the plan with every layer int8 look at."""
        both = 2 * len(self.parts.search)
        if self.parts.calibration is None:
            return both
        correction = self.options.correction
        # Each rewriting is one more pass.
        passes = self.passes + correction.pixels + correction.equalize
        return both + passes * len(self.parts.calibration) + (0 if correction.changes_nothing else self.layers)

    def _to_search(self, *, all_int8: Trial | None, groups: int) -> WorkAhead:
        """Return what repairs, ranking, search and report look at; ``all_int8``: of the plan to fall back from, if known."""
        strategy, items = self.options.strategy, len(self.parts.search)
        if self.parts.calibration is None:
            return self.from_result()
        again = self.passes * len(self.parts.calibration) + _MORE_CORRECTIONS * self.layers
        always = StrategyNeeds.of(strategy).always
        if all_int8 is not None and all_int8.accepted and not always:
            return WorkAhead(again + self._ranked() + self._ending(), self._where_met(groups))
        repaired = self.options.correction.repair
        # Rounded tensors, too, may be float in the end.
        repairs, reconsidered = (items * count for count in (repaired + 1, _RECONSIDERED * repaired))
        most = max(strategy.most_trials(self.layers), Binary(give_back=None).most_trials(self.layers)) * items
        ahead = again + repairs + reconsidered + self._ranked() + most + self._last_resorts()
        likely = self._ranked_likely(groups, searched=True) + strategy.most_trials(self.layers) * items
        likely += items + self.layers if repaired else 0
        return WorkAhead(ahead + self._ending(), likely + self._ending_likely())

    def _where_met(self, groups: int) -> int:
        """Return what is ahead of a plan that is accepted at once."""
        always = StrategyNeeds.of(self.options.strategy).always
        trials = self.options.strategy.most_trials(self.layers) * len(self.parts.search) if always else 0
        return self._ranked_likely(groups, searched=always) + trials + self._ending_likely()

    def _ranked(self) -> int:
        """Return what both rankings look at, at most."""
        assert self.parts.calibration is not None
        runs = self.layers * min(self._at_outputs.items, len(self.parts.search))
        return len(self.parts.calibration) + runs

    def _ranked_likely(self, groups: int, *, searched: bool) -> int:
        """Return what the ranking that the job asks for looks at, and the one that its strategy needs."""
        if self.parts.calibration is None:
            return 0
        asked, items = isinstance(self.options.sensitivity, EndToEnd), len(self.parts.search)
        runs = 0 if asked else len(self.parts.calibration)
        if searched and (asked or StrategyNeeds.of(self.options.strategy).loss_contributions):
            runs += groups * min(self._at_outputs.to_search_by(groups, items).items, items)
        elif asked:
            runs += groups * self._at_outputs.only_shown(groups, items).items
        return runs

    @property
    def _at_outputs(self) -> EndToEnd:
        return self.options.sensitivity if isinstance(self.options.sensitivity, EndToEnd) else EndToEnd()

    def _last_resorts(self) -> int:
        plans = _WALKS * LastResort().most_trials(self.layers) + Greedy().most_trials(self.layers)
        return plans * len(self.parts.search)

    def _ending(self) -> int:
        """Return what figures, files and values look at, at most: those of the search may still lack figures."""
        return len(self.parts.search) + self._ending_likely()

    def _ending_likely(self) -> int:
        reported = 2 * len(self.parts.report) if self.parts.held_out else 0
        return reported + self.checked + 2 * self.kept
