"""A study: trials in a journal that several processes read and write, on one machine or many.

Who takes the next trial holds a lock; a trial belongs to the process that took it. One whose process is gone is taken up again
under its own number, so that a study that was killed ends as it would have ended.
"""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from runner.errors import ConfigError
from runner.tune import samplers
from runner.tune.presence import Presence
from runner.tune.space import Space
from runner.tune.trial import Outcome, Trial

JOURNAL = "journal.log"
_MADE_WITH, _OWNER, _OUTCOME, _SAME_AS = "made_with", "owner", "outcome", "same_as"
# So often in a row a setting that is known may be proposed again; then one that is not is drawn.
_REPEATS = 10
# Up to so many settings those that are left are listed.
_LISTED = 10_000
_ENDING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study is made with.

    Attributes:
        name: of the study.
        space: what is tried.
        objectives: names of what is made small.
        trials: how many different settings.
        sampler: who proposes them, with its seed and population.
        configuration: dotted key -> value of what all trials have in common.
    """

    name: str
    space: Space
    objectives: tuple[str, ...]
    trials: int
    sampler: samplers.Name
    seed: int
    population: int
    configuration: Mapping[str, Any]

    def made_with(self) -> dict[str, Any]:
        """Return what may not change while a study goes on; its number of trials may."""
        made = {
            "objective": list(self.objectives),
            "space": {
                parameter.key: [type(parameter).__name__, asdict(parameter)] for parameter in self.space.parameters
            },
            "sampler": self.sampler,
            "seed": self.seed,
            "population": self.population if self.sampler == "nsga2" else None,
            "configuration": dict(self.configuration),
        }
        plain: dict[str, Any] = json.loads(json.dumps(made, default=str))
        return plain


@dataclass(frozen=True, slots=True)
class Taken:
    """A trial to run: its number, what it tries, and whether an earlier process began it."""

    number: int
    setting: Mapping[str, str]
    again: bool = False


class Study:
    """A study's trials, on disk."""

    def __init__(self, folder: Path, plan: Plan, presence: Presence) -> None:
        """Open or make the study of a folder.

        Raises:
            ConfigError: one of that name was made with something else; says with what.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.plan, self._presence = plan, presence
        self._lock = FileLock(folder / "study.lock")
        path = folder / JOURNAL
        with self._lock:
            # Not Optuna's own, which stays for half a minute when its process is killed.
            journal_lock: Any = FileLock(f"{path}.lock")
            with journal_lock:
                _drop_half_a_line(path)
            backend = optuna.storages.journal.JournalFileBackend(str(path), lock_obj=journal_lock)
            storage = optuna.storages.JournalStorage(backend)
            self._study = optuna.create_study(
                storage=storage,
                study_name=plan.name,
                directions=["minimize"] * len(plan.objectives) if not _exists(storage, plan.name) else None,
                load_if_exists=True,
            )
            made = plan.made_with()
            before = self._study.user_attrs.get(_MADE_WITH)
            if before is None:
                self._study.set_user_attr(_MADE_WITH, made)
            elif before != made:
                raise ConfigError(_other_study(folder, plan.name, before, made))

    def trials(self) -> list[Trial]:
        """Return all trials, in the order of their numbers."""
        return [self._told(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    def take(self) -> Taken | None:
        """Return the next trial to run, or None where there is none: enough have been tried, or all that there are.

        A setting that was tried before is told with what it gave and not returned.
        """
        with self._lock:
            orphan = self._orphan()
            if orphan is not None:
                return orphan
            while True:
                trials = self.trials()
                if sum(trial.state != "repeated" for trial in trials) >= self.plan.trials or self._exhausted(trials):
                    return None
                taken = self._ask(trials)
                if taken is not None:
                    return taken

    def tell(self, number: int, outcome: Outcome, values: Sequence[float]) -> None:
        """Keep how a trial ended; one with a reason has failed."""
        self._attribute(number, _OUTCOME, asdict(outcome))
        if outcome.reason:
            self._study.tell(number, state=_state("FAIL"))
        else:
            self._study.tell(number, list(values))

    def importances(self) -> dict[str, float]:
        """Return how much each parameter decides about the first objective, by Optuna; empty where that cannot be said."""
        import optuna

        # Of one objective Optuna takes the value itself, and else warns that small ones are looked for, as they are.
        target = None if len(self.plan.objectives) == 1 else _first_value
        try:
            with warnings.catch_warnings(action="ignore"):
                found = optuna.importance.get_param_importances(self._study, target=target)
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}
        return {key: float(share) for key, share in found.items()}

    def wait_for_ending(self) -> None:
        """Wait until what a process that is gone had begun has ended, so that it can be taken up again."""
        begin = time.monotonic()
        while time.monotonic() - begin < _ENDING_SECONDS:
            running = [t for t in self._study.get_trials(deepcopy=False) if t.state.name == "RUNNING"]
            if not any(self._presence.is_ending(str(trial.user_attrs.get(_OWNER))) for trial in running):
                return
            time.sleep(0.1)

    def _orphan(self) -> Taken | None:
        from optuna.trial import Trial as OptunaTrial

        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or self._presence.is_alive(str(trial.user_attrs.get(_OWNER))):
                continue
            self._study.sampler = self._sampler(trial.number)
            # What the process had not yet drawn is drawn as it would have drawn it.
            setting = self.plan.space.suggest(OptunaTrial(self._study, trial._trial_id))
            self._attribute(trial.number, _OWNER, self._presence.name)
            known = self._known(setting, [t for t in self.trials() if t.number < trial.number])
            if known is not None:
                self._repeat(trial.number, known)
                continue
            return Taken(trial.number, setting, again=True)
        return None

    def _ask(self, trials: list[Trial]) -> Taken | None:
        """Return a new trial, or None where it repeats another, which is told."""
        waiting = self._study.get_trials(deepcopy=False, states=(_state("WAITING"),))
        number = waiting[0].number if waiting else len(trials)
        self._study.sampler = self._sampler(number)
        if not waiting:
            self._hand_over(trials, number)
        trial = self._study.ask()
        trial.set_user_attr(_OWNER, self._presence.name)
        setting = self.plan.space.suggest(trial)
        known = self._known(setting, trials)
        if known is None:
            return Taken(trial.number, setting)
        self._repeat(trial.number, known)
        return None

    def _hand_over(self, trials: list[Trial], number: int) -> None:
        """Hand the sampler a setting that is left, where a grid is asked for or it has repeated itself too often."""
        last = [trial.state for trial in trials[-_REPEATS:]]
        if self.plan.sampler != "grid" and last != ["repeated"] * _REPEATS:
            return
        left = self._left(trials)
        if left:
            draw = random.Random(f"{self.plan.seed} {number}")
            setting = left[0] if self.plan.sampler == "grid" else draw.choice(left)
            self._study.enqueue_trial(self.plan.space.proposal(setting))

    def _exhausted(self, trials: list[Trial]) -> bool:
        return self._listed() and not self._left(trials)

    def _listed(self) -> bool:
        return self.plan.sampler == "grid" or self.plan.space.size(_LISTED) is not None

    def _left(self, trials: list[Trial]) -> list[dict[str, str]]:
        """Return the settings that no trial has, where they can be listed."""
        if not self._listed():
            return []
        seen = {_canonical(trial.setting) for trial in trials}
        return [setting for setting in self.plan.space.settings() if _canonical(setting) not in seen]

    def _known(self, setting: Mapping[str, str], trials: list[Trial]) -> Trial | None:
        wanted = _canonical(setting)
        return next((t for t in trials if t.state != "repeated" and _canonical(t.setting) == wanted), None)

    def _repeat(self, number: int, known: Trial) -> None:
        self._attribute(number, _SAME_AS, known.number)
        if known.state == "done":
            self._study.tell(number, list(known.values))
        else:
            self._study.tell(number, state=_state("FAIL"))

    def _attribute(self, number: int, name: str, value: Any) -> None:  # noqa: ANN401
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        storage.set_trial_user_attr(trial_id, name, value)

    def _sampler(self, number: int) -> Any:  # noqa: ANN401
        return samplers.sampler(self.plan.sampler, self.plan.seed, number, self.plan.population)

    def _told(self, trial: Any) -> Trial:  # noqa: ANN401 - optuna.trial.FrozenTrial
        kept, same_as = trial.user_attrs.get(_OUTCOME), trial.user_attrs.get(_SAME_AS)
        states = {"COMPLETE": "done", "FAIL": "failed"}
        state: Any = "repeated" if same_as is not None else states.get(trial.state.name, "running")
        return Trial(
            number=trial.number,
            setting=self.plan.space.setting(trial.params),
            state=state,
            values=tuple(trial.values or ()),
            outcome=None if kept is None else Outcome(**kept),
            same_as=same_as,
        )


def _first_value(trial: Any) -> float:  # noqa: ANN401
    return float(trial.values[0])


def _state(name: str) -> Any:  # noqa: ANN401
    from optuna.trial import TrialState

    return TrialState[name]


def _canonical(setting: Mapping[str, str]) -> str:
    return json.dumps(dict(setting), sort_keys=True)


def _exists(storage: Any, name: str) -> bool:  # noqa: ANN401
    return any(study.study_name == name for study in storage.get_all_studies())


def _drop_half_a_line(path: Path) -> None:
    """Cut off what a process was writing when the machine went down; else the next line would be lost in it."""
    if path.is_file() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


def _other_study(folder: Path, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a sentence that says in what a study differs from the one that is there."""
    parts = []
    for part in now:
        was, is_now = before.get(part), now[part]
        if was == is_now:
            continue
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            keys = sorted(key for key in was.keys() | is_now.keys() if was.get(key) != is_now.get(key))
            parts.append(f"another {part} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})")
        else:
            parts.append(f"{part} {was} instead of {is_now}")
    return (
        f"tune.study: the study '{name}' in {folder} was made with {' and '.join(parts)}. Give this one a name of its own, "
        "tune.study=NAME, or remove that folder."
    )
