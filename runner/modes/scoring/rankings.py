"""The rankings of the layers that a search may walk along, each made once, when it is first wanted."""

from __future__ import annotations

from collections.abc import Iterator

from runner.modes.scoring.ranking import Ranker
from runner.search.binary import Binary
from runner.search.end_to_end import EndToEnd, LossContributions
from runner.search.greedy import Greedy
from runner.search.last_resort import LastResort
from runner.search.needs import StrategyNeeds
from runner.search.plan import LayerGroup, Ranking, Strategy, Trial
from runner.search.sensitivity import Cosine, Sensitivity


class Rankings:
    """Rankings of the layers of a plan: the one that the job asks for, and those that its search needs beside it.

    Args:
        ranker: makes them.
        start: the trial of the plan.
        groups: of its layers.
        sensitivity: the job's.
        searched: whether something is searched by it; otherwise it is only shown.

    Attributes:
        contributions: of each group to the loss at the outputs, once they are measured.
    """

    def __init__(
        self,
        ranker: Ranker,
        start: Trial,
        groups: tuple[LayerGroup, ...],
        sensitivity: Sensitivity | EndToEnd,
        *,
        searched: bool,
    ) -> None:
        self._ranker, self._start, self._groups = ranker, start, groups
        self._sensitivity, self._searched = sensitivity, searched
        # An evaluator of the user's may look at outputs that nothing else can.
        self._measurable = bool(ranker.scores.scorer.metrics)
        self._made: dict[bool, Ranking] = {}
        self.contributions: LossContributions | None = None

    @property
    def asked(self) -> Ranking:
        """The one that the job asks for; each layer on its own where there is no output to measure at."""
        return self._by(at_outputs=isinstance(self._sensitivity, EndToEnd))

    def able(self, strategy: Strategy) -> Strategy:
        """Return a strategy, or one that can do without loss contributions where these cannot be measured."""
        needs = StrategyNeeds.of(strategy).loss_contributions
        return Binary(give_back=None) if needs and not self._measurable else strategy

    def of(self, strategy: Strategy) -> Ranking:
        """Return what a strategy walks along: by loss contributions where it needs those, whatever the job asks for."""
        return self._by(at_outputs=True) if StrategyNeeds.of(strategy).loss_contributions else self.asked

    def last_resorts(self, walked: Ranking) -> Iterator[tuple[Strategy, Ranking]]:
        """Yield what else is tried where a strategy has found nothing, so that none misses what another one finds.

        Args:
            walked: the ranking that it was given.
        """
        yield LastResort(), walked
        if self._measurable:
            by_loss = self._by(at_outputs=True)
            yield Greedy(), by_loss
            yield LastResort(), by_loss
        yield LastResort(), self._by(at_outputs=False)

    def _by(self, *, at_outputs: bool) -> Ranking:
        at_outputs = at_outputs and self._measurable
        if at_outputs not in self._made:
            own = isinstance(self._sensitivity, EndToEnd) == at_outputs
            sensitivity = self._sensitivity if own else EndToEnd() if at_outputs else Cosine()
            ranking, contributions = self._ranker.rank(self._start, self._groups, sensitivity, searched=self._searched)
            self._made[at_outputs] = ranking
            self.contributions = contributions or self.contributions
        return self._made[at_outputs]
