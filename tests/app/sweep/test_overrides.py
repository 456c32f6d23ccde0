"""Which jobs overrides make and what varies among them, against the product of the values written out."""

from __future__ import annotations

import itertools

import pytest

from runner.app.sweep.overrides import jobs_of, options_of, swept_keys, telling, varied
from tests.app.sweep.sweeps import sweep_config


def differing(*overrides: str) -> list[dict[str, str]]:
    """Return what varies among the jobs that overrides make."""
    with sweep_config(*overrides) as config:
        jobs = jobs_of(config)
    assert jobs is not None
    return varied(jobs)


def test_two_keys_make_their_product_and_constants_are_left_out() -> None:
    found = differing("cache=none", "target_loss=0.1,0.2", "evaluation.count=7", "strategy=greedy,binary,linear")
    pairs = itertools.product(("0.1", "0.2"), ("greedy", "binary", "linear"))
    assert found == [{"target_loss": target, "strategy": strategy} for target, strategy in pairs]


@pytest.mark.parametrize(
    ("override", "key", "values"),
    [
        ("mode=acc_auto,convert_qat", "mode", ["acc_auto", "convert_qat"]),
        ("target_loss=choice(1,2)", "target_loss", ["1", "2"]),
        ("seed=range(1,4)", "seed", ["1", "2", "3"]),
        ("quant=glob(*)", "quant", ["amct", "best", "fast"]),
        ("dataset.preprocess.mean=[1,2],[3,4]", "dataset.preprocess.mean", ["[1,2]", "[3,4]"]),
        ("skip_layers=[a],[a,b]", "skip_layers", ["[a]", "[a,b]"]),
        ("+experiment=zoo/a,zoo/b", "experiment", ["a", "b"]),
        ("++seed=1,2", "seed", ["1", "2"]),
        ("model.path=/nets/a/net.onnx,/nets/b/net.onnx", "model.path", ["a/net.onnx", "b/net.onnx"]),
        ("model.path=a.onnx,sub/a.onnx", "model.path", ["a.onnx", "sub/a.onnx"]),
        ('dataset.images="数,据","a b"', "dataset.images", ["数,据", "a b"]),
        (r'dataset.images="it\"s",x', "dataset.images", ['it"s', "x"]),
        ("calibration.count=null,8", "calibration.count", ["null", "8"]),
        ("expect.value=87.60,1e-3", "expect.value", ["87.6", "0.001"]),
    ],
)
def test_values_are_shown_as_people_write_them(override: str, key: str, values: list[str]) -> None:
    assert differing("seed=0", override) == [{key: value} for value in values]


def test_same_value_given_twice_varies_nothing() -> None:
    assert differing("seed=1,1") == [{}, {}]


def test_sweep_of_a_file_is_its_params_and_the_command_line_wins() -> None:
    assert differing("+sweep=target_loss") == [{"target_loss": value} for value in ("0.1", "0.2", "0.5", "1.0")]
    assert differing("+sweep=target_loss", "target_loss=3,4") == [{"target_loss": "3"}, {"target_loss": "4"}]


def test_glob_that_finds_nothing_makes_no_job() -> None:
    with sweep_config("quant=glob(z*)") as config:
        assert jobs_of(config) == []


def test_sweeper_that_makes_jobs_up_has_none_before() -> None:
    with sweep_config("seed=1,2", "hydra.sweeper._target_=hydra_plugins.hydra_optuna_sweeper.Sweeper") as config:
        assert jobs_of(config) is None


def test_swept_keys_are_those_with_several_values() -> None:
    assert swept_keys(["a=1", "b=1,2", "+c/d=x,y", "e=interval(0,1)", "f=[1,2]"]) == ["b", "c/d", "e"]


def test_what_tells_a_job_alone_is_neither_its_mode_nor_where_it_writes() -> None:
    overrides = ["mode=acc_auto", "paths.output=/a", "tracking=none", "model.path=/b/net.onnx", "images=photos/", "~x"]
    assert telling(options_of(overrides)) == {"model.path": "net.onnx", "images": "photos", "x": "null"}
