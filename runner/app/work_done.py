"""How much of a whole job is done, as a share that never falls: what is ahead may become more as well as less on the way."""

from __future__ import annotations


class WorkDone:
    """The share of a job that is done.

    What was ahead is often not: a stage is remembered, a search ends early. And a missed target brings more. Each time it is
    told anew what is ahead, the part that was left stands for that; what was done stays.

    Args:
        after: items that come after all that is told.
    """

    def __init__(self, *, after: int = 0) -> None:
        self._after = after
        self._before, self._share = 0.0, 0.0
        self._ahead = self._done = 0
        # Of the stages under way, one within the other: items in all, and those done.
        self._stages: list[tuple[int, int]] = []
        self.is_planned = False

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return self._share

    def plan(self, items: int) -> None:
        """Take in how many items are ahead from here on."""
        self._before, self._ahead, self._done = self._share, items + self._after, 0
        self.is_planned = True

    def begin(self, total: int) -> None:
        """Begin a stage of so many items, 0 where it has no count, within those that are under way."""
        self._stages.append((total, 0))

    def advance(self, place: int, done: int) -> None:
        """Take in how many items of a stage are done, by its place among those under way, the outermost first."""
        total, before = self._stages[place]
        done = max(before, min(done, total))
        self._stages[place] = (total, done)
        self._done += done - before
        self._update()

    def finish(self) -> None:
        """End the innermost stage: what is not done of it is not ahead any longer."""
        total, done = self._stages.pop()
        self._ahead = max(self._done, self._ahead - (total - done))
        self._update()

    def _update(self) -> None:
        if self._ahead > 0:
            share = self._before + (1.0 - self._before) * min(1.0, self._done / self._ahead)
            self._share = max(self._share, share)
