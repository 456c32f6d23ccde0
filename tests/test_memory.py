"""A job is refused memory that the machine does not have, in place of being killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runner.errors import ModelError
from runner.memory import available_bytes, total_bytes
from runner.session import Session
from tests.command import ROOT, environment
from tests.models import onnx_text

resource = pytest.importorskip("resource", reason="this system has no limits of a process")


def test_total_is_the_machines_or_what_its_container_may_use(tmp_path: Path) -> None:
    whole = total_bytes(tmp_path / "absent")
    assert whole is not None
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "few").write_text("1048576\n")
    (tmp_path / "many").write_text(f"{2 * whole}\n")
    told = [total_bytes(tmp_path / name) for name in ("max", "few", "many")]
    assert told == [whole, 1048576, whole]


@pytest.mark.parametrize("before", [None, 10**9], ids=["no limit", "a lower limit"])
def test_bound_is_nine_tenths_of_the_total_unless_a_lower_one_is_set(before: int | None) -> None:
    code = (
        "import resource; from runner.memory import bound_memory\n"
        f"before = {before}\n"
        "if before: resource.setrlimit(resource.RLIMIT_DATA, (before, -1))\n"
        "bound_memory(); print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    total = total_bytes()
    assert total is not None
    assert int(done.stdout) == (before or int(total * 0.9))


def test_model_that_asks_for_more_than_there_is_ends_with_a_sentence() -> None:
    model = onnx_text(
        """g (float[N,2] x) => (float[N,2] y) {
            big = Expand (x, shape)
            y = ReduceSum <keepdims = 0> (big, axes)
        }""",
        shape=np.array([2**20, 2**22, 1, 2]),
        axes=np.array([0, 1]),
    )
    session = Session(model.SerializeToString(), given=True)
    with pytest.raises(
        ModelError, match=r"needs more memory than this machine can give: .*Expand.* Is the model damaged"
    ):
        session.run({"x": np.zeros((1, 2), np.float32)})


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list its heaps")
def test_threads_share_one_heap_on_few_cores() -> None:
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from runner.memory import share_heaps\n"
        "if sys.argv[1] == 'shared': share_heaps(2)\n"
        "meeting, kept = threading.Barrier(9), []\n"
        "def work():\n"
        "    kept.append([bytes(5000) for _ in range(100)]); meeting.wait(); meeting.wait()\n"
        "for _ in range(8): threading.Thread(target=work).start()\n"
        "meeting.wait()\n"
        # A heap of a thread's own is a mapping of 64 MiB, most of it not yet readable.
        "ends = [line.split()[0].split('-') for line in Path('/proc/self/maps').read_text().splitlines()]\n"
        "heaps = {int(low, 16) for low, _ in ends if int(low, 16) % (64 << 20) == 0}\n"
        "print(len(heaps)); meeting.wait()"
    )
    own, shared = (
        int(subprocess.check_output([sys.executable, "-c", code, how], cwd=ROOT, env=environment(), text=True))
        for how in ("own", "shared")
    )
    if own == 0:
        pytest.skip("this C library gives threads no heaps of their own")
    assert shared < own


def test_memory_that_is_free_is_the_machines_or_what_a_container_has_left(tmp_path: Path) -> None:
    machine, quota, used = tmp_path / "meminfo", tmp_path / "max", tmp_path / "current"
    machine.write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n", encoding="ascii")
    assert available_bytes(quota, used, machine) == 8000 * 1024
    quota.write_text("max\n", encoding="ascii")
    used.write_text("1000\n", encoding="ascii")
    assert available_bytes(quota, used, machine) == 8000 * 1024
    quota.write_text("5000\n", encoding="ascii")
    assert available_bytes(quota, used, machine) == 4000
    used.write_text("6000\n", encoding="ascii")
    assert available_bytes(quota, used, machine) == 0
    assert available_bytes(tmp_path / "none", tmp_path / "none", tmp_path / "none") is None
