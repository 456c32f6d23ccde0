"""The page of a result, parsed back: what it says, and that nothing of a model can break out of it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runner.graph.rewriting import Rewriting
from runner.modes.result import AccAutoResult
from runner.report.flips import Answer, Flip
from runner.report.page import _text
from runner.report.sections.again import Asked
from runner.search.end_to_end import LossContributions
from runner.search.plan import LayerGroup, Ranking, SearchResult, Trial
from tests.told import page_of, summary_of


class Parsed(HTMLParser):
    """Rows of cells, texts, tags and links of a page; unclosed or crossed tags fail."""

    VOID = frozenset(("meta", "img", "br", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            return
        self.texts.append(data.strip())
        if self._open and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def table(self, first: str) -> list[dict[str, str]]:
        """Return the rows of the table whose first heading is ``first``, by heading."""
        start = next(index for index, row in enumerate(self.rows) if row[0] == first)
        headings = self.rows[start]
        body = self.rows[start + 1 :]
        end = next((index for index, row in enumerate(body) if len(row) != len(headings)), len(body))
        return [dict(zip(headings, row, strict=True)) for row in body[:end]]


def written(result: AccAutoResult, flips: Any = None, sheet: bytes | None = None) -> str:
    return page_of(result, flips=flips, sheet=sheet)


def test_verdict_figures_and_atc_command_are_told(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    shown = Parsed(written(result))
    headline = result.comparison.headline
    assert "net on data" in shown.text and "target met" in shown.text
    assert f"{headline.before:.4g} → {headline.after:.4g}" in shown.text
    assert "4 of 4" in shown.text and "allowed below 90" in shown.text
    assert "atc --framework=5 --model=results/net_deploy_model.onnx" in shown.text
    assert "atc --mode=3 --framework=5 --model=results/net_deploy_model.onnx" in shown.text
    assert f"the fake-quant file's bits for {result.checked.proof.sameness.identical} of 20 items" in shown.text
    assert {"summary.json", "results/net_deploy_model.onnx"} <= set(shown.links)


def test_rounded_tensors_are_told_where_there_are_any(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    told = "4 tensors that other nodes read are int8 too."
    assert told not in Parsed(written(result)).text
    form = replace(result.form, tensors=dict.fromkeys("abcd"))
    assert told in Parsed(written(replace(result, layers=replace(result.layers, form=form)))).text


def test_every_layer_has_its_record_and_its_place_in_the_ranking(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    rows = Parsed(written(result)).table("layer")
    assert [row["layer"] for row in rows] == [layer.name for layer in result.found.layers]
    ranks = {name: str(place) for place, (name, _) in enumerate(result.ranking.entries, start=1)}
    for row in rows:
        params = result.form.layers[row["layer"]].record.activation
        low, high = ((code - params.zero_point) * params.scale for code in (-128, 127))
        assert row["input range"] == f"{low:.4g} … {high:.4g}"
        assert (row["scale_d"], row["offset_d"]) == (f"{params.scale:.4g}", str(params.zero_point))
        assert (row["form"], row["rank"]) == ("int8", ranks[row["layer"]])
    assert sum(float(row["MACs"].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.1)


def test_loss_just_below_its_target_is_not_rounded_onto_it(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    headline = replace(result.comparison.headline, loss=19.96)
    shown = Parsed(written(replace(result, target_loss=20.0, comparison=replace(result.comparison, judged=headline))))
    assert "19.96" in shown.texts and "allowed below 20" in shown.texts


def test_missed_target_is_told_with_the_closest_plan(job: dict[str, AccAutoResult]) -> None:
    result = job["missed"]
    shown = Parsed(written(result))
    closest = result.search.closest
    assert "target not met" in shown.text and "atc " not in shown.text
    assert f"the closest one loses {closest.loss:.4g} with {len(closest.plan.fallback)} layers float" in shown.text
    rows = shown.table("step")
    assert len(rows) == len(result.search.trials) and not any("chosen" in row["verdict"] for row in rows)
    assert "svg" in shown.tags


def test_plans_tried_are_listed_with_their_verdicts(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    plan = result.search.trials[0].plan
    first = result.found.layers[0].name
    fallen = plan.with_fallback([first])
    trials = (
        Trial(plan, 90.0, 5.0, accepted=False),
        Trial(fallen, 94.0, 1.0, accepted=True, settled_after=7),
        Trial(fallen.with_repair("int8+all"), 94.5, 0.5, accepted=True),
    )
    shown = Parsed(written(replace(result, search=SearchResult(trials, trials[2]))))
    rows = shown.table("step")
    assert [row["verdict"] for row in rows] == ["refused", "accepted, settled after 7 items", "accepted, chosen"]
    assert [row["int8 layers"] for row in rows] == ["4", "3", "3"]
    assert [row["of them repaired"] for row in rows] == ["0", "0", "3"]
    assert [row["form"] for row in shown.table("layer")] == ["float", "int8+all", "int8+all", "int8+all"]


def test_loss_contributions_are_shown_where_it_was_measured(job: dict[str, AccAutoResult]) -> None:
    names = [layer.name for layer in job["met"].found.layers]
    units = (
        (LayerGroup((names[0], names[1]), 1), 2.0),
        (LayerGroup((names[2],), 1), 1.0),
        (LayerGroup((names[3],), 1), -0.5),
    )
    rows = Parsed(written(replace(job["met"], loss_contributions=LossContributions("kl", (0,), 10.0, units)))).table(
        "layer"
    )
    assert [row["damage that goes with it (kl)"] for row in rows] == ["20.0%", "20.0%", "10.0%", "-5.0%"]
    # What is measured at the outputs stands first.
    measured = ["damage that goes with it (kl)", "rank", "sensitivity (kl at the model's outputs)"]
    assert [title for title in rows[0] if title in measured] == measured


def test_sensitivity_of_a_layer_on_its_own_says_so(job: dict[str, AccAutoResult]) -> None:
    (first, *_) = Parsed(written(job["met"])).table("layer")
    assert first["sensitivity (its own output alone)"]


def test_changed_answers_are_counted_and_listed(job: dict[str, AccAutoResult]) -> None:
    found = [
        Flip(3, "a <b>.png", 1, Answer(1, 0.5), Answer(2, 0.25)),
        Flip(4, "c", 2, Answer(1, 0.1), Answer(2, 0.2)),
        Flip(5, "d", None, Answer(1, 0.1), Answer(2, 0.2)),
    ]
    shown = Parsed(written(job["met"], found))
    assert "3 of 20: 1 lost , 1 gained , 1 wrong before and after" in shown.text
    (first, *_) = shown.table("item")
    assert (first["item"], first["label"], first["effect"], first["float answer"]) == ("a <b>.png", "1", "lost", "1")
    pictured = Parsed(written(job["met"], found, b"\x89PNG"))
    assert "data:image/png;base64,iVBORw==" in pictured.links
    large = bytes(range(256)) * 64
    (held,) = (link for link in Parsed(written(job["met"], found, large)).links if link.startswith("data:"))
    assert base64.b64decode(held.partition(",")[2]) == large
    assert "Answers that changed" not in Parsed(written(job["met"], None)).text


def test_names_of_a_model_are_text_whatever_they_hold(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    evil = "<script>alert(1)</script>&\"'"
    layers = tuple(replace(layer, name=evil) if n == 0 else layer for n, layer in enumerate(result.found.layers))
    changed = replace(
        result,
        layers=replace(result.layers, found=replace(result.found, layers=layers), form=replace(result.form, layers={})),
        warnings=(f"layer {evil}",),
        ranking=Ranking(((evil, 0.5),)),
    )
    shown = Parsed(written(changed))
    assert shown.tags.count("script") == 1
    assert shown.table("layer")[0]["layer"] == evil
    assert f"layer {evil}" in shown.text


def test_page_needs_no_network(job: dict[str, AccAutoResult]) -> None:
    for result in job.values():
        shown = Parsed(written(result))
        assert "link" not in shown.tags and "url(" not in written(result)
        assert not any(link.startswith(("http", "//")) for link in shown.links)


def test_browsers_run_the_one_script_that_the_page_names(job: dict[str, AccAutoResult]) -> None:
    """All is there without it: what it makes usable is hidden until it runs."""
    text = written(job["met"])
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy.split("; ")[:4] == [
        *("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'"),
    ]
    assert not re.search(r"<[^>]+\son[a-z]+=", text) and "javascript:" not in text
    assert re.search(r'<button id="theme"[^>]* hidden>', text)


def test_contents_lead_to_every_heading_in_order(job: dict[str, AccAutoResult]) -> None:
    text = written(job["met"])
    headings = re.findall(r'<h2 id="(\w+)">(.*?)</h2>', text)
    assert headings == re.findall(r'<li><a href="#(\w+)">(.*?)</a></li>', text)
    names = [name for name, _ in headings]
    assert len(set(names)) == len(names)
    order = ["next", "figures", "layer_table", "deployed", "again", "sizes"]
    assert [name for name in names if name in order] == order


def test_missed_target_is_told_what_to_try(job: dict[str, AccAutoResult]) -> None:
    shown = Parsed(page_of(job["missed"]))
    assert "No plan met the target: the closest loses" in shown.text and "No model is written." in shown.text
    for key in ("python -m runner doctor", "calibration.count=…", "quant=best", "mode=convert_qat"):
        assert key in shown.texts
    (allowed,) = (text for text in shown.texts if text.startswith("target_loss="))
    assert float(allowed.partition("=")[2]) > job["missed"].search.closest.loss
    best = Asked(choices={"quant": "best"})
    assert "quant=best" not in Parsed(page_of(job["missed"], asked=best)).texts


def test_page_tells_how_to_run_it_again(job: dict[str, AccAutoResult]) -> None:
    asked = Asked(command="python -m runner seed=7", configuration="a: <b>", preprocessing="crop: 224")
    shown = Parsed(page_of(job["met"], asked=asked, seed=7))
    assert {"python -m runner seed=7", "a: <b>", "crop: 224", job["met"].source.model_sha256, "7"} <= set(shown.texts)
    assert "Preprocessing" not in Parsed(written(job["met"])).texts


def test_sizes_of_the_files_are_told(job: dict[str, AccAutoResult]) -> None:
    result = job["met"]
    source = Path(result.source.model_path).stat().st_size
    sizes = summary_of(result)["bytes"]
    assert sizes == {"source": source} | {n: (result.folder.root / n).stat().st_size for n in result.models}
    rows = Parsed(written(result)).table("file")
    assert [row["bytes"] for row in rows] == [f"{size:,}" for size in sizes.values()]


def test_page_names_no_folder_and_no_time(job: dict[str, AccAutoResult], tmp_path: Path) -> None:
    """The same job in another folder, another day, gives the same bytes."""
    text = written(job["met"])
    assert str(job["met"].folder.root) not in text
    slower = replace(job["met"].work, seconds={**job["met"].work.seconds, "load": 1e6})
    assert written(replace(job["met"], work=slower)) == text


def test_what_was_rewritten_is_told(job: dict[str, AccAutoResult]) -> None:
    summary = summary_of(job["met"])
    assert (summary["rewritten"], summary["balanced"]) == ({"pixels": [], "equalized": []}, [])
    told = "For the int8 form a reads the image's own levels as codes."
    assert told not in Parsed(written(job["met"])).text
    assert told in Parsed(written(replace(job["met"], rewriting=Rewriting(pixels=dict.fromkeys("a"))))).text


def test_own_lines_stay_lines_and_what_names_bring_along_is_escaped(job: dict[str, AccAutoResult]) -> None:
    assert "\\n" not in page_of(job["met"])
    assert str(_text("Left alone:\npool (Pool)\x1b[2J.\n")) == "Left alone:\npool (Pool)\\x1b[2J.\n"
