"""What Hydra's own section names is looked at before Hydra builds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from runner.app.hydra_nodes import refuse_foreign
from runner.errors import ConfigError
from tests.app.conftest import Command

POPEN = {"_target_": "subprocess.Popen", "args": ["true"]}
LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
SWEEPER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
STREAM = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "simple"}


@pytest.mark.parametrize(
    "hydra",
    [
        {},
        {"callbacks": None, "launcher": None},
        {"callbacks": {"sweep": {"_target_": "runner.app.sweep.callback.SweepFolder"}}},
        {"callbacks": {"log": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}}},
        {
            "launcher": {"_target_": LAUNCHER},
            "sweeper": {"_target_": SWEEPER, "sampler": {"_target_": "optuna.samplers.X"}},
        },
        {
            "job_logging": {
                "version": 1,
                "handlers": {"console": STREAM},
                "formatters": {"a": {"()": "colorlog.ColoredFormatter"}},
            }
        },
        {"job": {"num": "???"}, "launcher": {"_target_": LAUNCHER, "n": "${hydra.job.num}", "none": "${gone}"}},
    ],
)
def test_what_hydra_is_made_of_is_taken(hydra: dict[str, Any]) -> None:
    refuse_foreign(OmegaConf.create({"hydra": hydra}))


@pytest.mark.parametrize(
    ("hydra", "message"),
    [
        (
            {"callbacks": {"x": POPEN}},
            "hydra.callbacks.x._target_: 'subprocess.Popen' cannot be used here; expected a subclass",
        ),
        (
            {"callbacks": {"x": {"_target_": "hydra.experimental.callback.Callback", "a": [{"b": POPEN}]}}},
            "hydra.callbacks.x.a[0].b._target_: 'subprocess.Popen' cannot be used here;",
        ),
        (
            {"callbacks": {"x": {"_target_": "os.system", "command": "true"}}},
            "hydra.callbacks.x._target_: expected the import",
        ),
        ({"callbacks": {0: POPEN}}, "hydra.callbacks.0._target_: 'subprocess.Popen' cannot be used here;"),
        ({"callbacks": {"x": "${spare}"}}, "hydra.callbacks.x._target_: 'subprocess.Popen' cannot be used here;"),
        (
            {"launcher": POPEN},
            "hydra.launcher._target_: 'subprocess.Popen' cannot be used here; expected a launcher of Hydra's",
        ),
        (
            {"sweeper": POPEN},
            "hydra.sweeper._target_: 'subprocess.Popen' cannot be used here; expected a sweeper of Hydra's",
        ),
        (
            {"sweeper": {"_target_": SWEEPER, "sampler": POPEN}},
            "hydra.sweeper.sampler._target_: 'subprocess.Popen' cannot be used here; expected a part that a sweeper takes.",
        ),
        (
            {"job_logging": {"handlers": {"a": {"class": "subprocess.Popen"}}}},
            "hydra.job_logging.handlers.a.class: 'subprocess",
        ),
        (
            {"hydra_logging": {"formatters": {"a": {"()": "os.system"}}}},
            "hydra.hydra_logging.formatters.a.(): 'os.system'",
        ),
        (
            {"job_logging": {"handlers": {"a": {"stream": "ext://evil.x"}}}},
            "hydra.job_logging.handlers.a.stream: 'ext://evil.x'",
        ),
    ],
)
def test_what_hydra_would_run_is_refused(hydra: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_foreign(OmegaConf.create({"hydra": hydra, "spare": POPEN}))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "node",
    [
        "+hydra.callbacks.x={_target_: pathlib.Path.touch, self: TRACE}",
        "hydra.launcher._target_=pathlib.Path.touch",
        "seed={_target_: pathlib.Path.touch, self: TRACE}",
        "+dataset.constants={a: [{_target_: pathlib.Path.touch, self: TRACE}]}",
    ],
)
def test_a_command_that_names_a_program_is_one_sentence(run: Command, tmp_path: Path, node: str) -> None:
    ended = run("tracking=none", node.replace("TRACE", str(tmp_path / "trace")).replace("+dataset", "dataset"))
    assert ended.status == 2 and ended.err.startswith("error: ") and ended.err.count("\n") == 1
    assert "_target_" in ended.err and not (tmp_path / "trace").exists()


def test_configuration_file_that_names_a_program_for_logging_is_refused(run: Command, tmp_path: Path) -> None:
    (tmp_path / "own" / "evil").mkdir(parents=True)
    formatter = {"()": "pathlib.Path.touch", "self": str(tmp_path / "trace")}
    logging = {"version": 1, "formatters": {"a": formatter}}
    text = OmegaConf.to_yaml(OmegaConf.create({"hydra": {"job_logging": logging}}))
    (tmp_path / "own" / "evil" / "x.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")
    ended = run("--config-dir", "own", "+evil=x", "tracking=none")
    assert ended.status == 2
    assert "hydra.job_logging.formatters.a.(): 'pathlib.Path.touch' cannot be used here" in ended.err
    assert not (tmp_path / "trace").exists()
