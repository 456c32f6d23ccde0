"""What a page says of the command: all that the result depends on, no place and no password."""

from __future__ import annotations

from omegaconf import OmegaConf

from runner.app.asked import asked

CONFIG = OmegaConf.create(
    {
        "seed": 7,
        "model": {"path": "${shipped:model/net.onnx}"},
        "dataset": {"preprocess": {"crop": 224}, "url": "https://me:secret@host/data.zip"},
        "paths": {"output": "/home/me"},
        "engine": {"callers": 4},
        "report": {"language": "zh"},
    }
)


def test_where_and_how_it_ran_is_left_out() -> None:
    typed = ["seed=7", "paths.output=/home/me", "+experiment=a b", "engine=ray", "report.language=zh", "tracking=none"]
    told = asked(CONFIG, {"quant": "best"}, typed, ["--config-dir", "conf here", "-m", *typed])
    assert told.command == "python -m runner --config-dir 'conf here' seed=7 '+experiment=a b'"
    assert told.choices == {"quant": "best"}
    assert OmegaConf.to_container(OmegaConf.create(told.configuration)).keys() == {"seed", "model", "dataset"}


def test_configuration_is_as_composed_without_passwords() -> None:
    told = asked(CONFIG, {}, ["dataset.url=https://me:secret@host/data.zip"])
    assert "path: ${shipped:model/net.onnx}" in told.configuration and told.preprocessing == "crop: 224"
    assert "secret" not in told.command + told.configuration and "host/data.zip" in told.configuration


def test_groups_and_deletions_are_known_by_their_names() -> None:
    typed = ["dataset/preprocess=imagenet", "~tracking", "++cache.max_gb=1", "hydra.verbose=true", "model@x=file"]
    assert asked(CONFIG, {}, typed).command == "python -m runner dataset/preprocess=imagenet model@x=file"
