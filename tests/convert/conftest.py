"""The two ways in which the runner's own sessions sum a layer."""

import pytest

from runner.convert import integer_kernels


@pytest.fixture(params=["float operators", "integer operators"])
def sums(request, monkeypatch):
    """Sum by float or by integer operators in the runner's own sessions, whatever this machine would choose."""
    integers = request.param == "integer operators"
    if integers and not integer_kernels.integer_kernels_are_exact():
        pytest.skip("onnxruntime's integer kernels saturate on this CPU, so nothing uses them")
    monkeypatch.setattr(integer_kernels, "integer_kernels_are_exact", lambda: integers)
    return request.param
