"""What onnxruntime optimises is believed only where it was tried, and only of items on which both files agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.errors import VerificationError
from runner.output_digest import OutputDigest, output_digest
from runner.session import REFERENCE, Session
from runner.verify.compare import FilePair, Sameness
from runner.verify.cross_check import cross_check
from runner.verify.deploy_file import read_deploy
from runner.verify.execute import executable
from runner.verify.optimized import Exact, Optimized
from tests.data import Items
from tests.models import conv_gemm, onnx_text
from tests.verify.pairs import write_pair
from tests.verify.test_compare import IMAGES, altered

ITEMS = Subset.whole(Items(IMAGES))
KNOWN = ITEMS.at([0, 2])
ENGINE = Engine(2)


class Checked:
    """A pair of files with every layer in int8, some outputs of which are known."""

    def __init__(self, folder: Path, model=None) -> None:
        self.deploy, self.fake_quant, _ = write_pair(folder, model or conv_gemm(), IMAGES)
        read = read_deploy(self.deploy)
        self.graph = graph = executable(read)
        self.pair = FilePair(graph, self.fake_quant, ENGINE)
        self.known = cross_check(read, self.pair, KNOWN, ENGINE).outputs
        self.optimized = Optimized(graph, self.fake_quant, ENGINE)
        self.seen: dict[int, Exact] = {}

    def measure(self, measured: dict[int, OutputDigest], *, both: list[int]) -> None:
        self.optimized = Optimized(self.graph, self.fake_quant, ENGINE, measured=measured, both=both)

    def check(self) -> Sameness:
        def look(item, exact: Exact) -> None:
            self.seen[item.index] = exact

        return self.pair.check(ITEMS, lambda a, b: False, optimized=self.optimized, look=look)


def test_whole_sums_are_the_same_at_every_level(tmp_path: Path) -> None:
    checked = Checked(tmp_path)
    assert list(checked.known) == [0, 2]
    assert checked.optimized.keeps(checked.known, KNOWN)
    sameness = checked.check()
    assert (sameness.items, sameness.identical, sameness.both, sameness.first) == (5, 5, 5, None)
    assert all(exact.usual for exact in checked.seen.values())
    for index, outputs in checked.known.items():
        assert np.array_equal(checked.seen[index].outputs[0], outputs["logits"])


def test_nothing_known_or_other_bits_are_no_reason_to_believe_it(tmp_path: Path) -> None:
    checked = Checked(tmp_path)
    assert not checked.optimized.keeps({}, KNOWN)
    next_float = {name: np.nextafter(array, np.float32(9)) for name, array in checked.known[2].items()}
    assert not checked.optimized.keeps({**checked.known, 2: next_float}, KNOWN)


def test_item_on_which_optimised_files_differ_is_run_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(tmp_path)
    exact = Optimized.exact
    monkeypatch.setattr(Optimized, "exact", lambda self, item: None if item.index == 3 else exact(self, item))
    assert checked.check().identical == 5
    assert [index for index, exact in sorted(checked.seen.items()) if not exact.usual] == [3]


def test_fault_is_found_and_named_as_without(tmp_path: Path) -> None:
    altered(Checked(tmp_path).fake_quant, "logits.weight", 1)
    graph = executable(read_deploy(tmp_path / "deploy.onnx"))
    pair, optimized = (made(graph, tmp_path / "fake_quant.onnx", ENGINE) for made in (FilePair, Optimized))
    with pytest.raises(VerificationError, match=r"5 of 5 items have other outputs .* They part at the layer 'logits'"):
        pair.check(ITEMS, lambda a, b: False, optimized=optimized)


def test_float_operator_that_a_level_computes_otherwise_is_not_believed(tmp_path: Path) -> None:
    """The pooling sums floats: its order is the layout's, and the files are compared as they stand."""
    model = onnx_text(
        """g (float[N,2,6,6] x) => (float[N,16] y) {
            wide = Conv <pads = [1,1,1,1]> (x, w1)
            pooled = GlobalAveragePool (wide)
            y = Flatten (pooled)
        }""",
        w1=np.random.default_rng(0).normal(size=(16, 2, 3, 3)).astype(np.float32),
    )
    checked = Checked(tmp_path, model)
    if not checked.optimized.keeps(checked.known, KNOWN):  # on a machine without blocked layouts the order is the same
        assert checked.check().identical == 5


def digests(checked: Checked) -> dict[int, OutputDigest]:
    """Return what the fake-quant file gives for every item, as it would be remembered."""
    session = Session(checked.fake_quant, REFERENCE)
    return {index: output_digest(session.run({"x": IMAGES[index : index + 1]})) for index in ITEMS.indices}


def test_deploy_file_that_gives_what_was_measured_is_proved_without_the_other(tmp_path: Path) -> None:
    checked = Checked(tmp_path)
    checked.measure(digests(checked), both=[1, 4])
    sameness = checked.check()
    assert (sameness.identical, sameness.both) == (5, 2)
    assert [index for index, exact in sorted(checked.seen.items()) if exact.both] == [1, 4]


def test_item_that_does_not_give_what_was_measured_has_both_files_run(tmp_path: Path) -> None:
    checked = Checked(tmp_path)
    measured = digests(checked)
    checked.measure({**measured, 2: measured[3]}, both=[])
    sameness = checked.check()
    assert (sameness.identical, sameness.both) == (5, 1)
    assert checked.seen[2].both and np.array_equal(checked.seen[2].outputs[0], checked.known[2]["logits"])


def test_fault_of_the_deploy_file_is_found_whatever_was_measured(tmp_path: Path) -> None:
    checked = Checked(tmp_path)
    measured = digests(checked)
    planted = onnx.load(checked.deploy)
    bias = next(t for t in planted.graph.initializer if t.data_type == onnx.TensorProto.INT32)
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.int32(999), bias.name))
    onnx.save(planted, checked.deploy)
    graph = executable(read_deploy(checked.deploy))
    pair = FilePair(graph, checked.fake_quant, ENGINE)
    optimized = Optimized(graph, checked.fake_quant, ENGINE, measured=measured)
    with pytest.raises(VerificationError, match=r"5 of 5 items have other outputs .* They part at the layer '"):
        pair.check(ITEMS, lambda a, b: False, optimized=optimized)


@pytest.mark.parametrize(("shown", "running"), [(True, 2), (False, 4)])
def test_who_interrupts_waits_for_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: bool, running: int
) -> None:
    """Where an item had both files run with optimisations off, these sessions are stopped too."""
    checked = Checked(tmp_path)
    stopped: list[Session] = []
    monkeypatch.setattr(Session, "stop", lambda self: stopped.append(self))
    exact = Optimized.exact

    def interrupted(self: Optimized, item: BoundItem) -> Exact | None:
        if item.index == 1:
            raise KeyboardInterrupt
        return exact(self, item) if shown else None

    monkeypatch.setattr(Optimized, "exact", interrupted)
    pair = FilePair(checked.graph, checked.fake_quant, Engine(1))
    with pytest.raises(KeyboardInterrupt):
        pair.check(ITEMS.at([0, 1]), lambda a, b: False, optimized=checked.optimized)
    assert len(stopped) == len(set(stopped)) == running
