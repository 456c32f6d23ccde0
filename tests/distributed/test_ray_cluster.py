"""Workers on a real Ray cluster of two machines, both of them this one."""

from __future__ import annotations

import functools
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from runner.dataset.npz import NpzDataset
from runner.dataset.subset import Subset
from runner.distributed.engine import DistributedEngine
from runner.distributed.ray_cluster import Node, RayCluster, RayOptions, RayWorker, places, ray_cluster
from runner.engine import Engine
from runner.errors import ConfigError
from runner.evaluation.accuracy import TopK
from runner.evaluation.distance import Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.scores import by_item
from tests.data import normal_items
from tests.models import model

ITEMS = 60
FLOAT = "g (float[N,40] x) => (float[N,40] y) { h = MatMul (x, w) y = Softmax <axis = -1> (h) }"
OTHER = FLOAT.replace("y = Softmax <axis = -1> (h)", "s = Sin (h) y = Softmax <axis = -1> (s)")

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)")
pytestmark = [pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets and files to the collector


def graph(text: str) -> ir.Model:
    return model(text, w=np.random.default_rng(2).normal(size=(40, 40)).astype(np.float32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, x=normal_items(ITEMS, 40), y=np.arange(ITEMS) % 40)
    return path


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two machines of one core; the second one's processor can be told to give other bits."""
    from ray.cluster_utils import Cluster

    other = tmp_path_factory.mktemp("other")
    (other / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import numpy, onnxruntime
            from onnxruntime.capi import onnxruntime_inference_collection as inner
            run = inner.InferenceSession.run
            def nudged(self, names, feeds, options=None):
                return [numpy.nextafter(a, numpy.inf) if a.dtype.kind == "f" else a for a in run(self, names, feeds, options)]
            inner.InferenceSession.run = nudged
            """),
        encoding="utf-8",
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.nudging = other
    cluster.second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def dataset(path: Path) -> NpzDataset:
    return NpzDataset(str(path))


def scored(engine: Engine, items: Subset, before: Callable[[], None] = lambda: None) -> list[Any]:
    evaluator = Evaluator(engine, items, [TopK(), Sqnr()])
    scorer = evaluator.against(evaluator.outputs(graph(FLOAT)))
    scores = []
    for score in scorer.scores(scorer.session(graph(OTHER)), range(ITEMS)):
        if len(scores) == 3:
            before()
        scores.append(score)
    return [*by_item(scorer.float_scores), *scores]


def on(cluster: RayCluster, data: Path, warned: list[str], before: Callable[[], None] = lambda: None) -> list[Any]:
    items = Subset.whole(dataset(data))
    engine = DistributedEngine(cluster, items.dataset, None, 1, warn=warned.append, shard=4)
    return scored(engine, items, before)


@needs_ray
def test_two_nodes_give_the_figures_of_one_machine_with_a_worker_killed_and_a_node_gone(
    two_nodes: Any, data: Path
) -> None:
    warned: list[str] = []
    alone = scored(Engine(1), Subset.whole(dataset(data)))
    make = functools.partial(NpzDataset, str(data))
    with ray_cluster(RayOptions(two_nodes.address), make, warned.append) as cluster:
        import ray

        assert len(cluster.workers) == 2 and len({worker.node for worker in cluster.workers}) == 2
        assert on(cluster, data, warned) == alone and warned == []

        victim = cluster.workers[1]
        assert isinstance(victim, RayWorker)
        assert on(cluster, data, warned, lambda: ray.kill(victim.actor)) == alone
        assert all("died" in message and victim.node in message for message in warned) and len(warned) <= 1

    with ray_cluster(RayOptions(two_nodes.address), make, warned.append) as cluster:
        warned.clear()
        gone = functools.partial(two_nodes.remove_node, two_nodes.second, allow_graceful=False)
        assert on(cluster, data, warned, gone) == alone

    two_nodes.add_node(num_cpus=1, env_vars={"PYTHONPATH": f"{two_nodes.nudging}{os.pathsep}{os.getcwd()}"})
    two_nodes.wait_for_nodes()
    with ray_cluster(RayOptions(two_nodes.address), make, warned.append) as cluster:
        warned.clear()
        assert on(cluster, data, warned) == alone
        assert len(warned) == 1 and "is left out: the model gives other bits there than here" in warned[0]


@needs_ray
def test_address_without_a_cluster_is_told() -> None:
    with (
        pytest.raises(ConfigError, match=r"engine.address: no cluster answers at 127.0.0.1:9: "),
        ray_cluster(RayOptions("127.0.0.1:9"), NpzDataset, print),
    ):
        pass


def test_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(
            ConfigError, match=r"engine=ray: Ray is not installed. Install the extra: pip install 'onnx-quant"
        ),
        ray_cluster(RayOptions(), NpzDataset, print),
    ):
        pass


@pytest.mark.parametrize(
    ("cores", "options", "expected"),
    [
        ((4, 2), RayOptions(), [("a", 4, 4), ("b", 2, 2)]),
        ((4, 2), RayOptions(workers=1), [("a", 4, 4)]),
        ((4, 2), RayOptions(workers=3), [("a", 2, 2), ("a", 2, 2), ("b", 2, 2)]),
        ((2,), RayOptions(workers=4, callers=1), [("a", 1, 0.5)] * 4),
        ((4, 0), RayOptions(callers=1), [("a", 1, 1)]),
    ],
)
def test_workers_go_where_the_cores_are(cores: Any, options: RayOptions, expected: Any) -> None:
    nodes = [Node(name, name, count) for name, count in zip("ab", cores, strict=False)]
    assert [(node.name, callers, reserved) for node, callers, reserved in places(nodes, options)] == expected


def test_cluster_without_cores_is_refused() -> None:
    with pytest.raises(ConfigError, match="no machine of the cluster has a core"):
        places([Node("a", "a", 0)], RayOptions())
