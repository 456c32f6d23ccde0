"""Options of the other mode: every group and every key of it gets the same advice."""

from __future__ import annotations

import sys

import pytest

from runner.app.places import register_resolvers
from runner.app.refusal import refusal
from tests.app.conftest import Command

_MODES = ("acc_auto", "convert_qat")
GROUPS = {
    "quant": "best",
    "observer": "ifmr",
    "strategy": "linear",
    "sensitivity": "mse",
    "correction": "best",
    "calibration": "digits",
}
KEYS = {
    "convert_qat": (
        *(
            "target_loss",
            "quant_config",
            "record",
            "calibration.count",
            "budget.minutes",
            "budget.evaluations",
            "layers",
        ),
        *("skip_layers", "skip_layer_types", "tensor_quantize", "search.confidence", "split.disjoint", "split.report"),
        *("observer.asymmetric", "correction.rounding", "correction.equalize", "strategy.give_back"),
    ),
    "acc_auto": ("image", "on_asymmetric_weight"),
}


@pytest.mark.parametrize("group", GROUPS)
def test_group_of_the_other_mode_says_where_it_belongs(group: str, run: Command) -> None:
    ended = run(f"{group}={GROUPS[group]}", "mode=convert_qat", "tracking=none")
    what, where = f"{group}: no such option of mode=convert_qat.", "It belongs to mode=acc_auto"
    said = f"error: {what} {where}; leave it out, or choose that mode."
    assert (ended.status, ended.err.strip()) == (2, said)


@pytest.mark.parametrize(("mode", "key"), [(mode, key) for mode, keys in KEYS.items() for key in keys])
def test_key_of_the_other_mode_says_where_it_belongs(mode: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register_resolvers()
    monkeypatch.setattr(sys, "argv", ["runner", f"mode={mode}", f"{key}=1"])
    message = refusal(ValueError(f"Could not override '{key}'."))
    other = next(m for m in _MODES if m != mode)
    assert message.startswith(f"{key}: no such option of mode={mode}. ")
    assert message.endswith(f" belongs to mode={other}; leave it out, or choose that mode.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["-m", "mode=convert_qat", "+sweep=target_loss"],
            "target_loss: no such option of mode=convert_qat. It belongs",
        ),
        (["-m", "mode=convert_qat", "quant=fast,best"], "quant: no such option of mode=convert_qat. It belongs"),
        (["-m", "mode=acc_auto,convert_qat", "quant=best"], "quant: no such option of mode=convert_qat. It belongs"),
        (["mode=convert_qat", "+target_loss=1"], "target_loss: no such option of mode=convert_qat. It belongs"),
        (["mode=convert_qat", "+quant=best"], "no such option of mode=convert_qat. It belongs"),
        (["mode=convert_qat", "~observer"], "observer: no such option of mode=convert_qat. It belongs"),
        (
            ["mode=convert_qat", "observer.bins=9"],
            "observer.bins: no such option of mode=convert_qat. observer belongs",
        ),
        (["mode=acc_auto", "+image=3"], "image: no such option of mode=acc_auto. It belongs to mode=convert_qat"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_ways_to_give_an_option_get_the_same_advice(arguments: list[str], said: str, run: Command) -> None:
    ended = run(*arguments, "tracking=none")
    assert ended.status == 2
    assert said in ended.err
    assert "leave it out, or choose that mode." in ended.err


def test_misspelt_option_of_this_mode_is_still_guessed(run: Command) -> None:
    ended = run("mode=convert_qat", "imag=3", "tracking=none")
    assert "imag: no such option of mode=convert_qat. Did you mean image?" in ended.err
