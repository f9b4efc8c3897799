from __future__ import annotations

from fitted_facts import facts_of_a_model

from steelyard.report.card import model_card


def test_a_card_says_what_how_good_and_how_to_use():
    facts = facts_of_a_model()
    card = model_card(facts)
    assert card.startswith("# loans\n")
    assert facts["command"] in card
    assert facts["predict"] in card
    assert f"{100 * facts['test']['metrics']['balanced_accuracy']:.1f} %" in card


def test_tables_have_one_number_of_cells_whatever_names_contain():
    facts = facts_of_a_model(("no", "a|b\n| c"))
    facts["data"]["columns"][0]["name"] = "x | y"
    card = model_card(facts)
    for block in card.split("\n\n"):
        if block.startswith("|"):
            cells = {line.replace("\\|", "").count("|") for line in block.splitlines()}
            assert len(cells) == 1, block


def test_limits_name_classes_with_few_rows_and_a_split_that_is_not_by_time():
    facts = facts_of_a_model(("a", "b", "c", "d"), rows=60)
    rare = [name for name, n in zip("abcd", facts["data"]["counts"]["train"], strict=True) if n < 20]
    card = model_card(facts)
    assert rare
    assert f"Fewer than 20 training rows: {', '.join(rare)}" in card
    assert "on later rows expect less" in card
    facts["data"]["split"] = "by time (column day)"
    assert "on later rows expect less" not in model_card(facts)
