"""A metric's judge that stops scoring a model as soon as its verdict is settled, where a verdict is enough."""

from __future__ import annotations

from runner.evaluation.early_stopping.forecast import STEP, Forecast, forecast
from runner.evaluation.early_stopping.kept_scores import KeptScores
from runner.evaluation.judge import Candidate, MetricJudge, PartialScores, Verdict
from runner.evaluation.scorer import Progress
from runner.evaluation.scores import Evaluation, ItemScores, gathered


class EarlyJudge:
    """Judges as another does; early verdicts come from as many items as settle them, once one model was scored in full.

    Args:
        judge: gives every verdict that is not early, and those on a metric of the user's.
        confidence: that an early verdict is right, below 1; None where it has to be certain.
        seed: of the order in which items are scored for one.
    """

    def __init__(self, judge: MetricJudge, *, confidence: float | None = None, seed: int = 0) -> None:
        self._judge, self._confidence, self._seed = judge, confidence, seed
        self._first: Evaluation | None = None
        self.name, self.unit, self.target = judge.name, judge.unit, judge.target
        self.own_session, self.float_value = judge.own_session, judge.float_value

    def judge(
        self, candidate: Candidate, progress: Progress, *, early: bool = False, known: PartialScores | None = None
    ) -> Verdict:
        """Return the metric's verdict; early as soon as it is settled, with the items scored in the order of a forecast.

        Scores are kept STEP items at a time, and no target is in that order: where another job stopped, for another target,
        this one goes on.
        """
        expected = self._forecast() if early and known is None else None
        if expected is not None:
            return self._judge_early(candidate, expected, progress)
        verdict = self._judge.judge(candidate, progress, known=known)
        self._first = self._first or verdict.evaluation
        return verdict

    def _forecast(self) -> Forecast | None:
        if self._first is None:
            return None
        metric, before = self._judge.metric, self._judge.scorer.float_scores
        return forecast(
            metric,
            before,
            self._first,
            target=self.target,
            confidence=self._confidence,
            seed=self._seed,
        )

    def _judge_early(self, candidate: Candidate, expected: Forecast, progress: Progress) -> Verdict:
        judge, ledger = self._judge, self._judge.scorer.ledger
        kept = KeptScores(judge.scorer, candidate.build, progress, judge.store, candidate.key)
        found, begin = dict[int, ItemScores](), ledger.items
        outlook = None
        for start in range(0, len(expected.order), STEP):
            found |= kept.of(expected.order[start : start + STEP])
            # Asked of what is remembered too: what is written must not depend on that.
            if len(found) < len(expected.order):
                outlook = expected.outlook(gathered([*found.values()]))
                if outlook.settled:
                    break
        partial, ran = len(found) < len(expected.order), ledger.items > begin
        if ran:
            ledger.ran(whole=not partial)
        if partial:
            assert outlook is not None  # it settled the verdict
            return judge.verdict(outlook.scores, partial=PartialScores(found, ran))
        evaluation = gathered([found[position] for position in range(len(found))])
        return judge.verdict(evaluation.scores[self.name], evaluation=evaluation)
