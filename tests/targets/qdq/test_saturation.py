"""Whether the probe tells the truth: against exact integers here, and against a CPU's saturating addition, computed."""

import numpy as np
import pytest

from runner import integer_kernels
from runner.session import Session, plain
from runner.targets.qdq import saturation
from runner.targets.qdq.write import qdq_model
from tests.models import model, random_form

F = np.float32


def pairwise(x, w):
    """Return the product of uint8 [n, k] and int8 [k, m] as vpmaddubsw and vpaddd compute it: pairs saturate at 16 bits."""
    products = x.astype(np.int64)[:, :, None] * w.astype(np.int64)[None]
    pairs = products.reshape(len(x), -1, 2, w.shape[1]).sum(2)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(1)


@pytest.fixture
def fresh():
    saturation.saturating_kernels.cache_clear()
    yield
    saturation.saturating_kernels.cache_clear()


def test_the_probe_agrees_with_exact_integers_on_this_machine(fresh):
    """A MatMul of large codes through the file's own kernel, against numpy's int64; a probe that says no more than it sees."""
    built = model("g (float[8,64] x) => (float[] y) { [layer] y = MatMul(x, w) }", w=np.ones((64, 16), F))
    found, form = random_form(built, scale=1.0, zero_point=-128)
    layer = form.layers["layer"]
    layer.weight[:] = np.where(np.arange(16) % 2, 127, -128)
    x = np.random.default_rng(0).integers(200, 256, (8, 64))
    exact = (x @ layer.weight.astype(np.int64)) * F(layer.record.weight_scales[0]).astype(np.float64)
    (y,) = Session(qdq_model(found, form), plain("all")).run({"x": x.astype(F)})
    computed_rightly = bool(np.allclose(y, exact, rtol=1e-5))
    assert computed_rightly == ("matrix product" not in saturation.saturating_kernels())
    assert saturation.weight_max() == (127 if not saturation.saturating_kernels() else 63)
    # ConvInteger and MatMulInteger are tried apart from it, and take the same instructions.
    assert integer_kernels.are_exact() or saturation.saturating_kernels()


def test_a_machine_whose_pairs_saturate_is_found_out(fresh, monkeypatch):
    class Saturating(Session):
        """What a CPU without VNNI gives: half of the largest sums."""

        def run(self, feeds, outputs=None):
            (y,) = super().run(feeds, outputs)
            k, code = saturation._DEPTH, 127 if y.max() > 0 else -128
            x, w = np.full((1, k), 255, np.uint8), np.full((k, 1), code, np.int8)
            return [y * (pairwise(x, w) / (x.astype(np.int64) @ w.astype(np.int64)))]

    monkeypatch.setattr(saturation, "Session", Saturating)
    assert set(saturation.saturating_kernels()) == set(saturation._LAYERS)
    assert saturation.weight_max() == 63


def kernel_gap(model, feeds, make=Session):
    """Return the largest difference over the largest value of a default session's outputs and of one with nothing rewritten."""
    exact, fused = (make(model, plain(level)).run(feeds) for level in ("none", "all"))
    return max(float(np.abs(a - b).max()) for a, b in zip(exact, fused, strict=True)) / np.abs(exact[0]).max()


@pytest.mark.parametrize(("largest", "caught"), [(127, True), (63, False)])
def test_a_model_that_saturates_is_caught_by_running_it(largest, caught):
    """Forced: the default session computes as a CPU without VNNI, the one with nothing rewritten in float as ever."""
    built = model("g (float[8,64] x) => (float[] y) { [layer] y = MatMul(x, w) }", w=np.ones((64, 16), F))
    found, form = random_form(built, scale=1.0, zero_point=-128)
    layer = form.layers["layer"]
    layer.weight[:] = np.where(np.arange(16) % 2, largest, -largest - 1)
    written = qdq_model(found, form)
    x = np.random.default_rng(0).integers(200, 256, (8, 64))
    assert saturation.saturating_kernels() or kernel_gap(written, {"x": x.astype(F)}) < 1e-5

    class Saturating(Session):
        def __init__(self, model, profile):
            super().__init__(model, profile)
            self.fused = profile == plain("all")

        def run(self, feeds, outputs=None):
            if not self.fused:
                return super().run(feeds, outputs)
            return [pairwise(feeds["x"].astype(np.uint8), layer.weight) * F(layer.record.weight_scales[0])]

    assert (kernel_gap(written, {"x": x.astype(F)}, Saturating) > 0.1) == caught


@pytest.mark.parametrize(("largest", "exact"), [(127, False), (63, True), (64, True), (65, False)])
def test_seven_bits_are_what_a_pair_can_hold(largest, exact):
    """The claim behind the number, on the largest codes of both signs."""
    x = np.full((1, 64), 255, np.uint8)
    for code in (largest, -largest - 1 if largest == 63 else -largest):
        w = np.full((64, 1), code, np.int8)
        assert np.array_equal(pairwise(x, w), x.astype(np.int64) @ w.astype(np.int64)) == exact
