"""What a class takes can be typed as KEY=VALUE, without a + before it: every shipped option lists all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runner.app.schema.files import choices, groups
from runner.app.schema.keys import composed
from runner.app.schema.signatures import fields_of
from runner.class_path import class_at

# What comes beside every dataset in conf/config.yaml.
BESIDE = {"batch_axis", "constants"}
COMPOSED_ALONE = {"experiment", "sweep", "hparams_search"}
CHOSEN = [f"{group}={choice.name}" for group in groups() if group not in COMPOSED_ALONE for choice in choices(group)]


def unlisted(node: Any, above: str) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        made: Any = class_at(str(node["_target_"]), above)
        yield from (f"{above}.{one.name}" for one in fields_of(made) if one.name not in {*node, *BESIDE})
    for key, value in node.items():
        yield from unlisted(value, f"{above}.{key}" if above else str(key))


@pytest.mark.parametrize("chosen", CHOSEN)
def test_every_option_lists_all_that_its_classes_take(chosen: str) -> None:
    given = [chosen] if not chosen.startswith("dataset/preprocess") else ["dataset=image_folder", chosen]
    mode = chosen.partition("=")[2] if chosen.startswith("mode=") else "acc_auto"
    assert list(unlisted(composed(mode, *given), "")) == []
