"""What strategies leave float, against each other and against every plan: ``python -m benchmarks.strategies [--models NAME…]``.

For each model and target a row a strategy: the share of multiply-accumulates left float, and the evaluations that it took. On
models of up to ten layer groups the cheapest plan there is stands beside them: every plan is tried, the cheapest first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.cases import Case, cases
from benchmarks.process import python
from benchmarks.table import machine, markdown
from runner.search.plan import LayerGroup, Proposals, Ranking, Trial
from runner.search.restore_int8 import priced_groups

# Of which every plan is tried.
MOST_GROUPS = 10
STRATEGIES = {
    "binary": ("strategy=binary", "sensitivity=cosine"),
    "binary, give_back": ("strategy=binary", "sensitivity=cosine", "strategy.give_back=null"),
    "linear": ("strategy=linear", "sensitivity=cosine"),
    "greedy": ("strategy=greedy", "sensitivity=end_to_end"),
    "pareto": ("strategy=pareto", "sensitivity=end_to_end"),
}
EXHAUSTIVE = (
    "strategy=binary",
    "strategy._target_=benchmarks.strategies.Exhaustive",
    "~strategy.give_back",
    "sensitivity=cosine",
)
# Two targets a model, by the divergence that all layers in int8 have.
TARGETS = (0.7, 0.4)


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """Every plan, the one that leaves the fewest multiply-accumulates float first; the first that is accepted ends it."""

    needs_loss_contributions: ClassVar[bool] = False

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield the plans."""
        groups = priced_groups(ranking)
        chosen = [some for count in range(1, len(groups)) for some in itertools.combinations(groups, count)]
        for some in sorted(chosen, key=_price):
            if (yield all_int8.plan.with_fallback(name for group in some for name in group.layers)).accepted:
                return

    def most_trials(self, layers: int) -> int:
        """Return the number of plans."""
        return max(0, (1 << min(layers, 20)) - 2)


def _price(left: Sequence[LayerGroup]) -> int:
    return sum(group.macs for group in left)


def run(case: Case, *options: str) -> dict[str, object] | None:
    """Return a job's summary; None where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["tracking=none", "cache=none", "verify.count=2", "verify.device=none", f"paths.output={folder}"]
        python(["-m", "runner", *case.options, *given, *options])
        path = Path(folder) / "acc_auto" / "summary.json"
        found: dict[str, object] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return found


def rows_of(case: Case, options: Sequence[str]) -> list[list[str]]:
    """Return the rows of a model."""
    whole = run(case, *options, "target_loss=1e9")
    if whole is None:
        return [[case.name, "", "failed", "", ""]]
    rows = []
    for share in TARGETS:
        target = float(f"{_scaled(float(str(whole['loss'])), options, share):.3g}")
        tried = dict(STRATEGIES)
        if int(str(whole["layers_total"])) <= MOST_GROUPS:
            tried["every plan"] = EXHAUSTIVE
        for name, given in tried.items():
            found = run(case, *options, *given, f"target_loss={target}")
            rows.append([case.name, f"{target:g}", name, *_told(found)])
            print(" | ".join(rows[-1]), flush=True)
    return rows


def _scaled(loss: float, options: Sequence[str], share: float) -> float:
    """Return a share of the loss; of dB below a ceiling, the loss that has that share of the noise."""
    return loss + 10 * (share - 1) if "metric=sqnr" in options else share * loss


def _told(summary: dict[str, object] | None) -> list[str]:
    if summary is None:
        return ["failed", ""]
    evaluations = summary["evaluations"]
    assert isinstance(evaluations, dict)
    left = f"{100 * (1 - float(str(summary['macs_int8_share']))):.1f} %" if summary["target_met"] else "not met"
    return [left, f"{evaluations['full']} + {evaluations['partial']}"]


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["kws_float", "mnist_cntk", "resnet20"], help="zoo models")
    parser.add_argument("--options", nargs="*", default=["quant=amct", "metric=kl"], help="of the command line")
    parser.add_argument("--output", type=Path, default=None, help="write the table to this Markdown file too")
    given = parser.parse_args()
    rows = [row for case in cases(given.models) for row in rows_of(case, given.options)]
    table = markdown(["model", "target", "strategy", "MACs left float", "evaluations, full + partial"], rows)
    text = f"Measured on {machine()}.\n\n{table}\n"
    print(text)
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
