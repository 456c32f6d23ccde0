"""Items that workers score give the figures of one machine, bit for bit and in order, whatever becomes of a worker."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.subset import Subset
from runner.distributed.engine import DistributedEngine
from runner.distributed.shard import Ran, Shard, shard_size
from runner.engine import Engine
from runner.errors import ConfigError, DatasetError, ModelError
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.distance import Kl, Mse, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.scores import by_item
from runner.store.store import Store
from tests.data import Items, normal_items
from tests.distributed.threads import Fate, Threads, dies, other_bits

ITEMS, CLASSES = 50, 6
X = normal_items(ITEMS, CLASSES)
LABELS = np.random.default_rng(3).integers(CLASSES, size=ITEMS)
FLOAT = '<ir_version: 8, opset_import: ["": 17]> g (float[N,6] x) => (float[N,6] y) { y = Softmax <axis = -1> (x) }'
OTHER = FLOAT.replace("y = Softmax <axis = -1> (x)", "s = Sin (x) y = Softmax <axis = -1> (s)")
METRICS: list[Metric] = [TopK(), Agreement(), Kl(), Sqnr(), Mse()]


def graph(text: str) -> ir.Model:
    return ir.from_onnx_text(text)


class Spread:
    """An evaluator over a cluster of threads."""

    def __init__(
        self,
        fate: Fate = lambda node, shard, ran: ran,
        *,
        nodes: Sequence[str] = ("one", "two"),
        store: Store | None = None,
        metrics: Sequence[Metric] = tuple(METRICS),
        most_bytes: int = 10**9,
        there: Callable[[], Items] = lambda: Items(X, LABELS),  # type: ignore[arg-type]
        replaced: bool = True,
        items: Subset | None = None,
    ) -> None:
        self.warned: list[str] = []
        self.cluster = Threads(there, nodes, fate, replaced=replaced)
        self.items = items or Subset.whole(Items(X, LABELS))  # type: ignore[arg-type]
        self.engine = DistributedEngine(self.cluster, self.items.dataset, store, 1, warn=self.warned.append, shard=8)
        self.evaluator = Evaluator(self.engine, self.items, metrics, most_bytes=most_bytes)

    def scored(self, model: str = OTHER) -> tuple[Any, Any]:
        scorer = self.evaluator.against(self.evaluator.outputs(graph(FLOAT)))
        return by_item(scorer.float_scores), by_item(scorer.evaluate(graph(model)))


def here(**options: Any) -> tuple[Any, Any]:
    """Return the float model's and the other's scores, made by one machine."""
    items = options.pop("items", None) or Subset.whole(Items(X, LABELS))  # type: ignore[arg-type]
    evaluator = Evaluator(Engine(2), items, options.pop("metrics", METRICS), **options)
    scorer = evaluator.against(evaluator.outputs(graph(FLOAT)))
    return by_item(scorer.float_scores), by_item(scorer.evaluate(graph(OTHER)))


@pytest.mark.parametrize("most_bytes", [1, 12 * 4 * CLASSES, 10**9], ids=["one kept", "some kept", "all kept"])
@pytest.mark.parametrize("nodes", [["one"], ["one", "two"], ["one", "one", "two", "three"]], ids=["1", "2", "4"])
def test_scores_are_those_of_one_machine(nodes: list[str], most_bytes: int) -> None:
    spread = Spread(nodes=nodes, most_bytes=most_bytes)
    assert spread.scored() == here(most_bytes=most_bytes)
    assert {node for node, _ in spread.cluster.did} <= set(nodes)
    assert len(spread.cluster.did) >= 2 * 7 and spread.warned == []


def test_items_of_a_subset_come_back_in_its_order() -> None:
    order = np.random.default_rng(5).permutation(ITEMS)[:37].tolist()
    items = lambda: Subset(Items(X, LABELS), order)  # type: ignore[arg-type]  # noqa: E731
    assert Spread(items=items()).scored() == here(items=items())


def test_worker_that_dies_costs_its_shard_and_is_replaced() -> None:
    spread = Spread(dies(3))
    assert spread.scored() == here()
    (warning,) = spread.warned
    assert (
        "a worker on " in warning and "died (its process was killed); the items it was at are scored again." in warning
    )
    scored = [number for _, number in spread.cluster.did]
    assert sorted(set(scored)) == list(range(7)) and len(scored) <= 2 * 7 + 3


def test_worker_that_cannot_be_replaced_leaves_its_items_to_the_others() -> None:
    spread = Spread(dies(0), replaced=False)
    assert spread.scored() == here()
    assert len(spread.warned) == 1


def test_items_that_end_every_worker_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"3 workers died while they scored the items item 8 to item 15 \(its process was killed\)"
    ):
        Spread(dies(1, times=99)).scored()


def test_no_worker_left_says_so() -> None:
    with pytest.raises(ConfigError, match="no worker is left"):
        Spread(dies(0), nodes=["one"], replaced=False).scored()


def test_machine_with_other_bits_is_left_out_by_name_and_nothing_of_it_counts() -> None:
    def wrong(node: str, shard: Shard, ran: Ran) -> Ran:
        ran = other_bits("two")(node, shard, ran)
        return Ran([{}] * len(ran.results), None, None, ran.bits) if node == "two" else ran

    spread = Spread(wrong)
    assert spread.scored() == here()
    (warning,) = spread.warned
    assert warning.startswith("engine: two is left out: the model gives other bits there than here")


def test_machines_that_all_give_other_bits_end_the_job_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"no worker is left \(one: the model gives other bits there than here"):
        Spread(other_bits("one"), nodes=["one"]).scored()


def test_machine_with_other_files_is_left_out_by_the_item() -> None:
    other = X.copy()
    other[11] += 1
    made = iter([Items(X, LABELS), Items(other, LABELS), Items(X, LABELS)])  # type: ignore[arg-type]
    spread = Spread(there=lambda: next(made))
    assert spread.scored() == here()
    (warning,) = spread.warned
    assert "is left out: the item item 11 has other content there, or is preprocessed otherwise." in warning


def test_machine_without_the_data_is_left_out_with_the_message_of_the_dataset() -> None:
    def nothing() -> Items:
        raise DatasetError("dataset.images: /data does not exist.")

    with pytest.raises(ConfigError, match=r"no worker is left \(one: dataset.images: /data does not exist\)"):
        Spread(nodes=["one"], there=nothing).scored()


@dataclass(frozen=True)
class Refuses(TopK):
    """Fails at an item."""

    def score(self, *given: Any) -> Any:
        raise ModelError("this item cannot be scored")


def test_fault_of_an_item_is_raised_as_at_home() -> None:
    with pytest.raises(ModelError, match="this item cannot be scored"):
        Spread(metrics=[Refuses()]).scored()


def test_what_cannot_be_sent_is_scored_here_and_told_once() -> None:
    @dataclass(frozen=True)
    class Local(Mse):
        """Of a function, which pickle does not find."""

    spread = Spread(metrics=[Local()])
    assert spread.scored() == here(metrics=[Local()])
    assert spread.cluster.did != []  # the float model's outputs need no metric
    (warning,) = spread.warned
    assert warning.startswith("engine: items are scored on this machine alone: ") and "Local" in warning


def test_shards_that_an_ended_job_left_are_not_scored_again(tmp_path: Path) -> None:
    store = Store(tmp_path, 10**9)
    with pytest.raises(ConfigError, match="no worker is left"):
        Spread(dies(4), nodes=["one"], replaced=False, store=store).scored()
    again = Spread(store=Store(tmp_path, 10**9))
    assert again.scored() == here()
    assert [number for _, number in again.cluster.did if number < 4].count(0) == 1  # of the second model alone
    third = Spread(store=Store(tmp_path, 10**9))
    assert third.scored() == here() and third.cluster.did == []


def test_users_metric_is_not_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        spread = Spread(metrics=[Refuses.__base__(), OwnMse()], store=Store(tmp_path, 10**9))  # type: ignore[misc]
        spread.scored()
        assert len(spread.cluster.did) >= 7


@dataclass(frozen=True)
class OwnMse(Mse):
    """A class whose code may change."""


def test_labels_are_part_of_what_is_remembered(tmp_path: Path) -> None:
    assert Spread(store=Store(tmp_path, 10**9)).scored() == here()
    labels = (LABELS + 1) % CLASSES
    other = Subset.whole(Items(X, labels))  # type: ignore[arg-type]
    spread = Spread(store=Store(tmp_path, 10**9), items=other, there=lambda: Items(X, labels))  # type: ignore[arg-type]
    assert spread.scored() == here(items=Subset.whole(Items(X, labels)))  # type: ignore[arg-type]


def test_iteration_that_stops_early_calls_the_rest_off() -> None:
    spread = Spread()
    scorer = spread.evaluator.against(spread.evaluator.outputs(graph(FLOAT)))
    before = len(spread.cluster.did)
    scores = scorer.scores(scorer.session(graph(OTHER)), range(ITEMS))
    first = next(scores)
    scores.close()
    assert first == here()[1][0]
    assert len(spread.cluster.did) - before < 7
    assert by_item(scorer.evaluate(graph(OTHER))) == here()[1]


def test_shards_are_a_few_a_worker_and_none_is_large() -> None:
    assert [shard_size(n, w) for n, w in ((1, 4), (64, 1), (64, 4), (20_000, 4), (50_000, 1))] == [1, 16, 4, 64, 64]
    assert all(shard_size(items, workers) >= 1 for items in range(1, 99) for workers in range(1, 9))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metrics_can_be_sent(metric: Metric) -> None:
    assert pickle.loads(pickle.dumps(metric)) == metric


def test_content_of_an_item_is_read_once_whatever_is_evaluated() -> None:
    read: list[int] = []

    class Counted(Items):
        def fingerprint(self, index: int) -> str:
            read.append(index)
            return super().fingerprint(index)

    spread = Spread(items=Subset.whole(Counted(X, LABELS)))  # type: ignore[arg-type]
    spread.scored()
    spread.scored()
    assert sorted(read) == list(range(ITEMS))


def test_fault_of_a_users_class_says_where_it_was_raised() -> None:
    class Data(Items):
        def item(self, index: int) -> Any:
            if index == 33:
                raise ValueError("boom at 33")
            return super().item(index)

    with pytest.raises(ValueError, match="boom at 33") as raised:
        Spread(there=lambda: Data(X, LABELS)).scored()  # type: ignore[arg-type]
    assert any("test_engine.py" in note and "boom at 33" in note for note in raised.value.__notes__)
