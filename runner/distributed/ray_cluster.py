"""Workers as actors of Ray: one a machine by default, on a cluster that is there or one that is started for the job.

Ray's own retries are not used: a shard that is lost goes to whichever worker is free, and a machine can be left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from runner.dataset.item import Dataset
from runner.distributed.cluster import RemoteWorker, WorkerDiedError
from runner.distributed.portable import SentSession
from runner.distributed.shard import Ran, Shard
from runner.distributed.worker import Machine, Worker
from runner.engine import available_cores
from runner.errors import ConfigError

logger = logging.getLogger(__name__)

_READY_SECONDS = 60
_ANSWER_SECONDS = 5
# Files of models in Ray's memory; a search goes from one to the next.
_MOST_MODELS = 8
_MOST_REPLACEMENTS = 3
# So that Ray says nothing to its makers, and nothing on the terminal but what stops the job.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where workers run.

    Attributes:
        address: of a cluster, ``auto`` for the one of this machine; None starts one on this machine for the job.
        workers: how many; None for one a machine.
        callers: threads a worker; None for the machine's cores, shared out among its workers.
    """

    address: str | None = None
    workers: int | None = None
    callers: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        key: Ray's.
        name: for people.
        cores: that Ray may use there.
    """

    key: str
    name: str
    cores: int


@dataclass(eq=False)
class RayWorker:
    """An actor on a node."""

    place: Node
    callers: int
    reserved: float
    actor: Any
    files: ModelFiles

    @property
    def node(self) -> str:
        """Return the name of its machine."""
        return self.place.name

    def run(self, shard: Shard, models: Sequence[SentSession]) -> Future[Ran]:
        """Return what will come of a shard."""
        made: Future[Ran] = Future()
        answer = self.actor.run.remote(shard, *map(self.files.of, models)).future()
        answer.add_done_callback(lambda done: _pass_on(done, made))
        return made

    def call_off(self, turn: int) -> None:
        """Have it do no more of the shards up to a turn."""
        self.actor.call_off.remote(turn)


def _pass_on(done: Future[Ran], made: Future[Ran]) -> None:
    """Have a future come to what Ray's came to, its errors in our words."""
    from ray import exceptions

    error = done.exception()
    if error is None:
        made.set_result(done.result())
    elif isinstance(error, exceptions.RayActorError | exceptions.NodeDiedError | exceptions.ObjectLostError):
        made.set_exception(WorkerDiedError(_first_sentence(error)))
    else:
        made.set_exception(error)


class ModelFiles:
    """Files of models in the cluster's memory, each sent to a machine once."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Any] = OrderedDict()

    def of(self, model: SentSession) -> Any:  # noqa: ANN401 - Ray's reference
        """Return the reference of a model's file."""
        import ray

        if model.digest not in self._files:
            self._files[model.digest] = ray.put(model.content)
        self._files.move_to_end(model.digest)
        while len(self._files) > _MOST_MODELS:
            self._files.popitem(last=False)
        return self._files[model.digest]


class RayCluster:
    """The workers of a job; made by ``ray_cluster``.

    Args:
        options: where they run.
        make_dataset: builds the evaluation data there.
        warn: told of machines that cannot be used.
    """

    def __init__(self, options: RayOptions, make_dataset: Callable[[], Dataset], warn: Callable[[str], None]) -> None:
        self._make_dataset, self._warn = make_dataset, warn
        self._files = ModelFiles()
        self._replaced: Counter[str] = Counter()
        self._started: list[RayWorker] = []
        self.workers: Sequence[RemoteWorker] = self._ready([self._start(*place) for place in places(_nodes(), options)])

    def replace(self, worker: RemoteWorker) -> RemoteWorker | None:
        """Return a new worker in the place of one that died, if its machine is there and takes one."""
        assert isinstance(worker, RayWorker)  # it is one of ours
        there = {node.key for node in _nodes()}
        if worker.place.key not in there or self._replaced[worker.node] >= _MOST_REPLACEMENTS:
            return None
        self._replaced[worker.node] += 1
        return next(iter(self._ready([self._start(worker.place, worker.callers, worker.reserved)])), None)

    def close(self) -> None:
        """End the workers."""
        import ray

        for worker in self._started:
            ray.kill(worker.actor)

    def _start(self, node: Node, callers: int, reserved: float) -> RayWorker:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Calling off is heard while a shard is scored.
        actor = (
            ray.remote(Worker)
            .options(
                num_cpus=reserved,
                max_concurrency=4,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.key, soft=False),
            )
            .remote(self._make_dataset, callers)
        )
        worker = RayWorker(node, callers, reserved, actor, self._files)
        self._started.append(worker)
        return worker

    def _ready(self, workers: Sequence[RayWorker]) -> list[RayWorker]:
        """Return the workers that answer; of the others it is told why."""
        import ray

        asked = {worker.actor.machine.remote(): worker for worker in workers}
        ray.wait(list(asked), num_returns=len(asked), timeout=_READY_SECONDS)
        ready = []
        for reference, worker in asked.items():
            try:
                machine: Machine = ray.get(reference, timeout=0)
            except ray.exceptions.GetTimeoutError:
                self._warn(
                    f"engine: a worker did not start on {worker.node}: no core became free in {_READY_SECONDS} s."
                )
                ray.kill(worker.actor)
            except Exception as error:
                self._warn(f"engine: a worker did not start on {worker.node}: {_first_sentence(error)}.")
            else:
                logger.info("worker on %s (%s), %d callers", worker.node, machine.processor, worker.callers)
                ready.append(worker)
        return ready


@contextlib.contextmanager
def ray_cluster(
    options: RayOptions, make_dataset: Callable[[], Dataset], warn: Callable[[str], None]
) -> Iterator[RayCluster]:
    """Give the workers of a job, which end with it.

    Raises:
        ConfigError: Ray is not installed, no cluster is at the address, or no machine takes a worker.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine=ray: Ray is not installed. Install the extra: pip install 'onnx-quant-runner[ray]'."
        ) from error
    # A job of a sweep that Ray itself launched is in a cluster already, and leaves it as it is.
    inside = ray.is_initialized()
    try:
        if not inside:
            _connect(ray, options)
        cluster = RayCluster(options, make_dataset, warn)
        try:
            if not cluster.workers:
                raise ConfigError("engine=ray: no machine of the cluster takes a worker. Mend it, or use engine=local.")
            yield cluster
        finally:
            cluster.close()
    finally:
        if not inside:
            ray.shutdown()


def _connect(ray: Any, options: RayOptions) -> None:  # noqa: ANN401 - a module
    # A cluster of this job's own is kept to this user by a token, of which Ray would tell each time.
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
    with _own_signals():
        if options.address is None:
            cores = max(available_cores(), (options.workers or 1) * (options.callers or 1))
            try:
                # Else RAY_ADDRESS would be used, which a user may have set for something else.
                ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
            except Exception as error:
                raise ConfigError(
                    f"engine=ray: Ray does not start on this machine: {_first_sentence(error)}. Try again, or use engine=local."
                ) from error
            return
        try:
            require_answer(options.address)
        except OSError as error:
            raise ConfigError(
                f"engine.address: no cluster answers at {options.address}: {_first_sentence(error)}. Start one "
                "(ray start --head --port=6379) and give its host:6379, or leave the address out for one on this machine."
            ) from error
        try:
            ray.init(address=options.address, **quiet)
        except Exception as error:
            raise ConfigError(
                f"engine.address: the cluster at {options.address} does not take this job: {_first_sentence(error)}. Where it "
                "asks for a token, set RAY_AUTH_MODE=token in the environment of the command, with the token in "
                "~/.ray/auth_token or RAY_AUTH_TOKEN; versions of Ray and Python have to be the cluster's."
            ) from error


def require_answer(address: str) -> None:
    """Raise an OSError where nobody listens: Ray would go on asking for minutes."""
    host, colon, port = address.rpartition(":")
    if "://" in address:
        raise OSError("expected host:port of the cluster itself, no client's address")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Leave signals as they are: Ray would have SIGTERM end the process at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError, TypeError):  # not in the main thread, or set outside of Python
                signal.signal(number, handler)


def _nodes() -> list[Node]:
    """Return the machines that are there; two of one name are told apart by their addresses, or Ray's keys."""
    import ray

    alive: list[Mapping[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(node["NodeManagerHostname"] for node in alive)
    addresses = Counter(node["NodeManagerAddress"] for node in alive)
    nodes = []
    for node in alive:
        host, address, key = node["NodeManagerHostname"], node["NodeManagerAddress"], node["NodeID"]
        more = "" if hosts[host] == 1 else f" ({address})" if addresses[address] == 1 else f" (node {key[:8]})"
        nodes.append(Node(key, f"{host}{more}", int(node["Resources"].get("CPU", 0))))
    return sorted(nodes, key=lambda node: node.name)


def places(nodes: Sequence[Node], options: RayOptions) -> list[tuple[Node, int, float]]:
    """Return each worker's machine, its callers and the cores that are reserved for it.

    Workers go to the machine that has the most cores for one more. No more cores are reserved than there are, so that on a
    cluster without other work every worker starts.

    Raises:
        ConfigError: no machine has a core.
    """
    usable = [node for node in nodes if node.cores]
    if not usable:
        raise ConfigError("engine=ray: no machine of the cluster has a core for it (ray status shows what there is).")
    share = Counter[str]()
    for _ in range(options.workers or 0):
        share[max(usable, key=lambda node: node.cores / (share[node.key] + 1)).key] += 1
    if options.workers is None:
        share.update(node.key for node in usable)

    def place(node: Node) -> tuple[Node, int, float]:
        cores = node.cores / share[node.key]
        callers = options.callers or max(1, int(cores))
        return node, callers, min(callers, cores)

    return [place(node) for node in usable for _ in range(share[node.key])]


def _first_sentence(error: BaseException) -> str:
    """Return what an error says, without the traceback that Ray puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:300]
