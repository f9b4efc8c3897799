from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from steelyard.core.errors import DataError, SteelyardError
from steelyard.report import write_report

NASTY = ("paid </script><script>alert(1)</script>", "<img src=x onerror=alert(2)> & {{7*7}} \u2028 \"'")


class Page(HTMLParser):
    """What a browser would see: tags, texts of scripts by id, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.data = ""
        self.text = ""
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids.add(given.get("id") or "")
        self.addresses += [given[name] for name in ("src", "href", "srcset", "action") if given.get(name)]
        if tag in ("script", "style"):
            self._script = given.get("id") or tag

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data):
        if self._script == "data":
            self.data += data
        elif self._script is None:
            self.text += data


def page_of(out: Path) -> Page:
    path = write_report(out)
    assert path == out / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def edit(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_every_part_is_there(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path))
    expected = {
        "leaderboard",
        "groups",
        "recall",
        "sizes",
        "cost",
        "curves",
        "confusion-0",
        "confusion-1",
        "reliability",
        "ece",
    }
    assert expected | {"reading", "methods", "settings", "notes", "command", "copy", "epochs"} <= page.ids
    assert page.tags.count("table") == 3  # two epochs, and the methods
    assert "thirds of the classes by training rows" in page.text
    assert "3f2c9d1" in page.text
    assert "the loss of 3 batches was clipped" in page.text
    assert "ldam-drw (seed 0), ldam-drw (seed 1) and ldam-drw (seed 2)" in page.text


def test_weights_are_shown_where_a_method_weights_rows(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path, methods=9, seeds=2, epochs=4))
    assert {"weights", "class-weights", "weights-method", "learned"} <= page.ids
    data = json.loads(page.data)
    assert [m["name"] for m in data["methods"] if m["weights"]] == ["cb-drw", "ldam-drw", "rdr", "cmw-net"]
    assert [m["name"] for m in data["methods"] if m["learned"]] == ["cmw-net"]
    assert "Learned functions" in page.text


@pytest.mark.parametrize("settings", [{"weighted": False, "methods": 9}, {"methods": 1}], ids=["older folder", "no weighting"])
def test_without_weights_there_is_no_section_for_them(fabricate, tmp_path, settings):
    page = page_of(fabricate(tmp_path, seeds=2, epochs=4, **settings))
    assert not {"weights", "class-weights", "weights-method", "learned"} & page.ids
    assert "Weights over training" not in page.text
    assert "curves" in page.ids


def test_weights_and_explanations_that_are_no_such_thing_are_left_out(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=9, seeds=1, epochs=4)
    for path in (out / "runs").glob("*/log.jsonl"):
        lines = [json.loads(line) | {"class_weights": "soon", "group_weights": [1]} for line in path.read_text().splitlines()]
        path.write_text("\n".join(map(json.dumps, lines)))
    for path in (out / "runs").glob("*/result.json"):
        edit(path, lambda result: result.update(explanations={"objective.weighting": {"table": [1, 2]}, "x": None}))
    assert not {"weights", "class-weights", "learned"} & page_of(out).ids


def test_nothing_is_loaded_from_elsewhere(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path))
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert "default-src 'none'" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_numbers_of_the_plots_are_those_of_the_store(fabricate, tmp_path):
    data = json.loads(page_of(fabricate(tmp_path)).data)
    results = [json.loads((tmp_path / "runs" / f"la-{seed}" / "result.json").read_text()) for seed in range(3)]
    la = next(method for method in data["methods"] if method["name"] == "la")
    for c in range(10):
        mean = sum(result["per_class"]["recall"][c] for result in results) / 3
        assert la["perClass"]["recall"][c] == pytest.approx(mean, rel=1e-3)
    row = [sum(result["confusion"][9][c] for result in results) for c in range(10)]
    assert la["confusion"][9] == [round(1000 * n / sum(row)) for n in row]
    board = json.loads((tmp_path / "leaderboard.json").read_text())
    few = next(entry for entry in board["rows"] if entry["method"] == "la")["metrics"]["few_recall"]
    assert data["board"]["last"]["few_recall"]["la"] == [few["mean"], few["low"], few["high"]]


def test_names_and_commands_cannot_break_the_page(fabricate, tmp_path):
    command = "x </script><script>alert(3)</script> & <b>"
    out = fabricate(tmp_path, classes=2, methods=3, class_names=NASTY, command=command, pictured=True)
    edit(out / "comparison.json", lambda value: value.update(name="<i>name</i>", git_commit="</style>"))
    page = page_of(out)
    assert page.tags.count("script") == 9
    assert not {"img", "i", "alert"} & set(page.tags)
    assert json.loads(page.data)["classes"] == list(NASTY)
    assert f"The rarer class: {NASTY[1]}" in page.text
    assert "x </script><script>alert(3)</script> & <b>" in page.text


def test_two_classes_show_what_a_precision_recall_reader_needs(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path, classes=2, methods=4, n_max=9900, factor=99.0))
    assert "binary" in page.ids
    assert "AUPRC" in page.text
    assert "Prevalence: 1.00 % of the training rows, 50.00 % of the test rows" in page.text


def test_a_half_finished_comparison_says_what_is_missing(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path, unfinished=(("la", 1), ("focal", 0), ("focal", 1), ("focal", 2))))
    assert "17 of 21 runs are" in page.text
    assert "la: seed 1" in page.text
    assert "focal: seeds 0, 1 and 2" in page.text
    assert "2/3 seeds" in page.text


def test_without_leaderboard_the_plots_remain(fabricate, tmp_path):
    out = fabricate(tmp_path)
    (out / "leaderboard.json").unlink()
    page = page_of(out)
    assert "There is no leaderboard yet" in page.text
    assert "No verdict yet." in page.text
    assert {"recall", "curves", "confusion-0"} <= page.ids
    assert "groups" not in page.ids


def test_one_seed_without_validation(fabricate, tmp_path):
    page = page_of(fabricate(tmp_path, seeds=1, validation=False))
    assert "epochs" not in page.ids
    assert "there is no validation split" in page.text
    assert "one seed has no interval" in page.text
    assert "With 1 seed there is no interval for that difference" in page.text
    assert "valid_balanced_accuracy" not in page.data


def test_numbers_that_are_missing_are_dashes_not_errors(fabricate, tmp_path):
    out = fabricate(tmp_path, seeds=2)

    def spoil(board):
        for row in board["rows"]:
            row["metrics"]["few_recall"] = {"mean": math.nan, "low": None, "high": math.inf, "values": [None, math.nan]}
            row["metrics"]["auroc"] = None
            row["cost_ratio"] = None
        board["rows"][0]["metrics"]["accuracy"]["mean"] = math.nan

    edit(out / "leaderboard.json", spoil)
    for path in (out / "runs").glob("*/result.json"):
        edit(path, lambda r: (r["per_class"].update(recall=[math.nan] * 10), r.update(reliability=None, confusion=[[1]])))
    page = page_of(out)
    data = json.loads(page.data, parse_constant=pytest.fail)
    assert data["methods"][0]["perClass"]["recall"] == [None] * 10
    assert not {"cost", "reliability", "confusion-0"} & page.ids
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize(("classes", "methods"), [(2, 1), (3, 40), (1000, 2), (101, 3)])
def test_sizes_from_small_to_large(fabricate, tmp_path, classes, methods):
    data = json.loads(page_of(fabricate(tmp_path, classes=classes, methods=methods, seeds=2, epochs=3)).data)
    assert len(data["counts"]) == classes
    assert len(data["methods"]) == methods
    rows = len(data["confusion"]["labels"])
    assert rows == (50 if classes > 100 else classes)
    assert len(data["methods"][0]["confusion"]) == rows
    assert all(sum(row) == pytest.approx(1000, abs=0.5 * rows) for row in data["methods"][0]["confusion"])
    assert len(data["shown"]) <= 10


def test_methods_drawn_together_differ_in_colour(fabricate, tmp_path):
    data = json.loads(page_of(fabricate(tmp_path, methods=40, seeds=2, epochs=2)).data)
    colours = [method["light"] for method in data["methods"] if method["name"] in data["shown"]]
    assert len(set(colours)) == len(colours) == len(data["shown"])
    everything = [(m["light"], m["symbol"], m["dash"]) for m in data["methods"]]
    assert len(set(everything)) == 40


def test_runs_of_another_comparison_in_the_folder_are_left_out(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=2)
    stray = out / "runs" / "older"
    stray.mkdir()
    result = json.loads((out / "runs" / "ce-0" / "result.json").read_text())
    result["finished_at"] = "2030-01-01T00:00:00+00:00"
    result["warnings"] = ["from the older run"]
    (stray / "result.json").write_text(json.dumps(result))
    assert "from the older run" not in page_of(out).text
    edit(out / "comparison.json", lambda about: about.pop("runs"))
    assert "from the older run" in page_of(out).text  # then the last that was finished counts


def test_intervals_end_where_the_metric_ends(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=3)

    def widen(board):
        for row in board["rows"]:
            row["metrics"]["few_recall"] |= {"low": -0.3, "high": 1.4}
            row["metrics"]["mcc"] |= {"low": -1.2, "high": 0.4}

    edit(out / "leaderboard.json", widen)
    page = page_of(out)
    shown = json.loads(page.data)["board"]["last"]
    assert all(limits[1:] == [0, 1] for limits in shown["few_recall"].values())
    assert all(limits[1:] == [-1, 0.4] for limits in shown["mcc"].values())
    assert "0\N{EN DASH}100" in page.text
    assert "it is cut there, for display only" in page.text
    assert json.loads((out / "leaderboard.json").read_text())["rows"][0]["metrics"]["few_recall"]["high"] == 1.4


def test_no_word_of_cut_intervals_where_none_is(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=1)
    numbers = {"balanced_accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6, "values": [0.5, 0.5, 0.5]}}
    edit(out / "leaderboard.json", lambda board: board["rows"][0].update(metrics=numbers, selected_metrics={}))
    page = page_of(out)
    assert "cut there" not in page.text
    assert "±10.0" in page.text


def test_one_seed_shows_the_interval_over_test_rows_and_says_so(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=2, seeds=1)
    for path in (out / "runs").glob("*/result.json"):
        edit(path, lambda result: result.update(intervals={"few_recall": [0.125, 0.75], "accuracy": [None, None]}))
    page = page_of(out)
    shown = json.loads(page.data)["board"]["last"]
    assert shown["few_recall"]["ce"][1:] == [0.125, 0.75]
    assert shown["accuracy"]["ce"][1:] == [None, None]
    assert "over the test rows of that one run" in page.text


def test_several_seeds_do_not_show_the_interval_over_test_rows(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=2, seeds=2)
    edit(out / "leaderboard.json", lambda board: board["rows"][0]["metrics"]["few_recall"].update(low=None, high=None))
    for path in (out / "runs").glob("*/result.json"):
        edit(path, lambda result: result.update(intervals={"few_recall": [0.125, 0.75]}))
    assert "0.125" not in page_of(out).data


def test_notes_of_every_source_are_there_once(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=1)
    edit(out / "comparison.json", lambda about: about.update(notes=["a part begins late", "said twice"]))
    edit(out / "leaderboard.json", lambda board: board.update(notes=["said twice", "one more"]))
    text = page_of(out).text
    assert [text.count(note) for note in ("a part begins late", "said twice", "one more")] == [1, 1, 1]


def test_settings_of_the_problem_are_listed(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=1)
    path = out / "runs" / "ce-0" / "result.json"
    edit(path, lambda result: result["settings"].update({"problem.profile": "exp", "problem.drop": "[]"}))
    page = page_of(out)
    assert "profileexp" in page.text
    assert "drop[]" not in page.text


def test_a_damaged_result_is_named_and_left_out(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=2)
    (out / "runs" / "ce-1" / "result.json").write_text('{"method": "ce"')
    page = page_of(out)
    assert "5 of 6 runs are" in page.text
    assert re.search(r"ce-1.result\.json cannot be read", page.text)


def test_methods_that_the_leaderboard_does_not_describe_are_described_by_the_comparison(fabricate, tmp_path):
    out = fabricate(tmp_path)
    edit(out / "leaderboard.json", lambda board: [row.update(control=False, summary="") for row in board["rows"]])
    text = (write_report(out)).read_text(encoding="utf-8")
    assert text.count('<span class="tag">control</span>') == 3 * 4  # both epochs and the list of methods


def test_nothing_finished_yet(fabricate, tmp_path):
    none = tuple((name, seed) for name in ("ce", "cb-drw") for seed in range(3))
    page = page_of(fabricate(tmp_path, methods=2, unfinished=none))
    assert "0 of 6 runs are" in page.text
    assert "No verdict yet." in page.text


def test_folder_without_comparison(tmp_path):
    with pytest.raises(DataError, match=r"comparison\.json is missing"):
        write_report(tmp_path)


def test_damaged_comparison(tmp_path):
    (tmp_path / "comparison.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="should hold a JSON object; found list"):
        write_report(tmp_path)


def test_page_that_cannot_be_written(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=1, seeds=1, epochs=1)
    (out / "report.html").mkdir()
    with pytest.raises(SteelyardError, match="the report cannot be written"):
        write_report(out)
    assert not list(out.glob(".report*"))


def test_writing_again_gives_the_same_page(fabricate, tmp_path):
    out = fabricate(tmp_path, methods=3, seeds=2, epochs=2)
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first


def test_report_imports_no_torch_and_no_plotly_until_it_is_needed():
    code = "import sys, steelyard.report; print(sorted({'torch', 'plotly', 'jinja2', 'rich', 'pandas'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
