"""AMCT's JSON files, byte for byte, and both forms of the history read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import RecordError
from runner.job_folder import JobFolder
from runner.modes.files.amct_files import history_entries, ranking_entries, read_history, read_ranking, roll_back_config
from runner.search.plan import Plan, Ranking, Trial

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
PLAN = Plan.all_int8(["Conv_2", "Conv_10", "全连接"])
TRIALS = [Trial(PLAN, 70.0, 1.5, accepted=False), Trial(PLAN.with_fallback(["Conv_10"]), 71.5, 0.0, accepted=True)]


def written(folder: Path, value: object) -> str:
    """Return the text of a file that a job writes."""
    return JobFolder(folder).write_json("file.json", value, compact_keys=True).read_text(encoding="utf-8")


def test_ranking_is_the_file_made_by_hand_and_comes_back_from_it(tmp_path: Path) -> None:
    ranking = Ranking((("全连接", 0.25), ("Conv_0", 0.9999)))
    assert written(tmp_path, ranking_entries(ranking)) == (GOLDEN / "ranking.json").read_text(encoding="utf-8")
    assert read_ranking(GOLDEN / "ranking.json") == ranking


def test_history_is_the_file_made_by_hand_and_comes_back_from_it(tmp_path: Path) -> None:
    plan = Plan.all_int8(["Conv_0", "全连接"])
    trials = [Trial(plan, 70.0, 1.5, accepted=False), Trial(plan.with_fallback(["Conv_0"]), 71.5, 0.0, accepted=True)]
    assert written(tmp_path, history_entries(trials)) == (GOLDEN / "history.json").read_text(encoding="utf-8")
    assert read_history(GOLDEN / "history.json") == history_entries(trials)
    assert read_history(GOLDEN / "history_amct.json") == history_entries(trials)


numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@given(ranking=st.dictionaries(names, numbers, max_size=5).map(lambda found: Ranking(tuple(found.items()))))
def test_ranking_comes_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, ranking: Ranking) -> None:
    folder = tmp_path_factory.mktemp("ranking")
    text = written(folder, ranking_entries(ranking))
    back = read_ranking(folder / "file.json")
    assert back == ranking and written(folder, ranking_entries(back)) == text


plans = st.dictionaries(names, st.sampled_from(["int8", "float"]), min_size=1, max_size=4).map(
    lambda found: Plan(tuple(found.items()))
)


@given(trials=st.lists(st.builds(Trial, plans, numbers, numbers, st.booleans()), max_size=3))
def test_history_comes_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, trials: list[Trial]) -> None:
    folder = tmp_path_factory.mktemp("history")
    text = written(folder, history_entries(trials))
    back = read_history(folder / "file.json")
    assert back == history_entries(trials) and written(folder, back) == text


def test_history_is_one_list_in_which_true_means_quantized() -> None:
    assert history_entries(TRIALS) == [
        {"roll_back_config": {"Conv_2": True, "Conv_10": True, "全连接": True}, "metric_eval": [False, 1.5]},
        {"roll_back_config": {"Conv_2": True, "Conv_10": False, "全连接": True}, "metric_eval": [True, 0.0]},
    ]


def test_repaired_layer_stays_quantized() -> None:
    assert roll_back_config(Plan((("a", "int8+bias"), ("b", "float")))) == {"a": True, "b": False}


@pytest.mark.parametrize(
    "join",
    [
        pytest.param(lambda objects: "[" + ",".join(objects) + "]", id="one list"),
        pytest.param(lambda objects: "".join(objects), id="objects side by side"),
        pytest.param(lambda objects: "\n".join(objects) + "\n", id="objects on lines"),
        pytest.param(lambda objects: "[" + objects[0] + "]\n" + objects[1], id="a list and an object"),
    ],
)
def test_history_is_read_in_every_form(tmp_path: Path, join: object) -> None:
    objects = [
        json.dumps(entry, indent=4, separators=(",", ":"), ensure_ascii=False) for entry in history_entries(TRIALS)
    ]
    path = tmp_path / "record.json"
    path.write_text(join(objects), encoding="utf-8")
    assert read_history(path) == history_entries(TRIALS)


def test_empty_history_holds_no_trial(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("\n")
    assert read_history(tmp_path / "record.json") == []


GOOD = '{\n    "roll_back_config":{},\n    "metric_eval":[true,0.0]\n}\n'


def entry(**changes: object) -> str:
    return json.dumps({"roll_back_config": {}, "metric_eval": [True, 0.0]} | changes)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param(
            GOOD + "{oops}", ":5", "expected a JSON object of the search history, got: Expecting", id="no JSON"
        ),
        pytest.param(GOOD + GOOD[:-3], ":7", "expected a JSON object of the search history", id="cut off"),
        pytest.param(
            GOOD + '{"metric_eval": []}', ":5", "expected an object of roll_back_config and metric_eval", id="no plan"
        ),
        pytest.param("[\n3]", ":2", "expected an object of roll_back_config and metric_eval, got 3", id="a number"),
        pytest.param(entry(extra=1), ":1", "expected an object of roll_back_config and metric_eval, got {", id="extra"),
        pytest.param(
            entry(roll_back_config={"a": 1}), ":1", "roll_back_config: expected true or false for each", id="int"
        ),
        pytest.param(entry(roll_back_config=[]), ":1", "roll_back_config: expected true or false for each", id="list"),
        pytest.param(
            entry(metric_eval=[1, 0.5]), ":1", "metric_eval: expected [true or false, loss], got", id="no bool"
        ),
        pytest.param(entry(metric_eval=[True, False]), ":1", "metric_eval: expected [true or false, loss]", id="bools"),
        pytest.param(entry(metric_eval=[True]), ":1", "metric_eval: expected [true or false, loss]", id="short"),
    ],
)
def test_broken_history_is_refused_with_file_and_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(RecordError) as error:
        read_history(path)
    assert str(error.value).startswith(f"{path}{place}: {message}")


def test_missing_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"history: .*gone\.json cannot be read: No such file"):
        read_history(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param("", ":1", "expected a list of [layer, sensitivity]", id="empty"),
        pytest.param('{"a": 1}', ":1", "expected a list of [layer, sensitivity]", id="object"),
        pytest.param('[\n["a", 1],\n["b"]]', ":3", 'expected [layer, sensitivity], got ["b"]', id="short"),
        pytest.param('[["a", true]]', ":1", 'expected [layer, sensitivity], got ["a", true]', id="bool"),
        pytest.param("[[1, 2]]", ":1", "expected [layer, sensitivity], got [1, 2]", id="no name"),
        pytest.param('[["a", 1],\n["a", 2]]', ":2", "layer 'a' is ranked twice", id="twice"),
        pytest.param('[["a", 1]', ":1", "expected a list of [layer, sensitivity], got: Expecting", id="cut off"),
    ],
)
def test_broken_ranking_is_refused_with_file_and_line(tmp_path: Path, text: str, place: str, message: str) -> None:
    path = tmp_path / "ranking.json"
    path.write_text(text)
    with pytest.raises(RecordError) as error:
        read_ranking(path)
    assert str(error.value).startswith(f"{path}{place}: {message}")


def test_missing_ranking_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"ranking: .*gone\.json cannot be read: No such file"):
        read_ranking(tmp_path / "gone.json")
