from __future__ import annotations

import json
import re

import pytest
from fitted_facts import facts_of_a_model

from steelyard.core.errors import DataError
from steelyard.report.model_page import MOST_CLASSES, context, rare, verdict, write_model_report

NASTY = "paid </script><script>alert(1)</script>"


def written(tmp_path, facts):
    (tmp_path / "fit.json").write_text(json.dumps(facts))
    page = write_model_report(tmp_path)
    assert page == tmp_path / "report.html"
    return page.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


def test_the_headline_gives_recall_and_precision_of_the_rarer_class_as_the_confusion_matrix_has_them():
    facts = facts_of_a_model()
    table = facts["test"]["confusion"]
    recall, precision = table[1][1] / sum(table[1]), table[1][1] / (table[0][1] + table[1][1])
    said = verdict(facts)
    assert f"Finds {100 * recall:.1f} % of 'yes'" in said
    assert f"{100 * precision:.1f} % of those it names are right" in said


def test_the_rarer_class_may_be_the_first():
    facts = facts_of_a_model()
    facts["data"]["counts"]["train"].reverse()
    assert "of 'no'" in verdict(facts)


def test_a_metric_of_decisions_that_was_asked_for_leads_the_scores():
    facts = facts_of_a_model()
    facts["metric"] = "expected_cost"
    facts["test"]["metrics"]["expected_cost"], facts["test"]["intervals"]["expected_cost"] = 0.25, [0.2, 0.3]
    assert verdict(facts).endswith("expected cost 0.250 (95 % interval 0.200 to 0.300).")
    assert context(facts)["scores"][0]["label"] == "Expected cost"


def test_the_frequent_one_of_two_classes_is_named_where_no_test_row_is_of_it():
    facts = facts_of_a_model()
    facts["test"]["per_class"]["support"] = [0, 400]
    said = verdict(facts)
    assert said.startswith("Finds ") and "On 400 test rows, none of them of 'no', which is not judged: " in said


def test_several_classes_are_judged_by_the_metric_and_the_worst_class():
    facts = facts_of_a_model(("a", "b", "c"))
    worst = min(facts["test"]["per_class"]["recall"])
    assert f"the worst class has a recall of {100 * worst:.1f} %" in verdict(facts)
    shown = context(facts)
    assert shown["positive"] is None
    assert not shown["has"]["curve"]
    assert [line["name"] for line in shown["classes"]] == ["c", "b", "a"]


def test_a_page_has_no_addresses_and_its_data_are_those_of_the_facts(tmp_path):
    facts = facts_of_a_model()
    page = written(tmp_path, facts)
    assert not re.search(r'(src|href)="(?!data:|#)', page.split('<script type="application/json"')[0])
    data = data_of(page)
    assert sorted(map(sorted, data["confusion"])) == sorted(map(sorted, facts["test"]["confusion"]))
    assert data["curve"]["recall"] == facts["precision_recall"]["recall"]


def test_names_of_classes_and_columns_cannot_leave_their_place(tmp_path):
    facts = facts_of_a_model(("no", NASTY))
    facts["data"]["columns"][0]["name"] = NASTY
    facts["importance"][0]["column"] = NASTY
    page = written(tmp_path, facts)
    assert "<script>alert" not in page
    assert data_of(page)["positive"] == NASTY


def test_the_smallest_of_many_classes_are_shown():
    facts = facts_of_a_model(tuple(f"c{i}" for i in range(40)), rows=5000)
    shown = context(facts)
    assert shown["cut"]
    assert len(shown["classes"]) == len(shown["data"]["classes"]) == MOST_CLASSES
    assert shown["classes"][0]["train"] == str(min(facts["data"]["counts"]["train"]))


@pytest.mark.parametrize(
    ("change", "absent"),
    [({"candidates": []}, "candidates"), ({"importance": []}, "importance"), ({"precision_recall": {}}, "curve")],
)
def test_what_there_is_nothing_of_is_left_out(tmp_path, change, absent):
    facts = facts_of_a_model() | change
    assert not context(facts)["has"][absent]
    written(tmp_path, facts)


def test_equal_classes_have_the_second_as_the_rarer_one():
    assert rare([5, 5]) == 1
    assert rare([4, 5]) == 0


def test_a_folder_without_facts_is_told(tmp_path):
    with pytest.raises(DataError, match="steelyard fit"):
        write_model_report(tmp_path)
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(DataError, match="fit the model again"):
        write_model_report(tmp_path)
