"""The model card: what a fitted model is for, what it was fitted on, how good it is, and where not to trust it."""

from __future__ import annotations

from typing import Any

from steelyard.report.model_page import context

Json = dict[str, Any]


def model_card(facts: Json) -> str:
    """Markdown for README.md in a model's folder.

    Args:
        facts: the content of fit.json.

    Reference:
        Mitchell, Wu, Zaldivar, Barnes, Vasserman, Hutchinson, Spitzer, Raji, Gebru: Model cards for model reporting, FAT* 2019.
    """
    shown = context(facts)
    parts = [
        f"# {_cell(shown['title'])}",
        f"{_cell(shown['verdict'])} {_cell(shown['trust'])}",
        "## Use\n\n```sh\n" + facts["predict"] + "\n```\n\n```python\nfrom steelyard.estimator import load_model\n\n"
        'model = load_model(".")\nproba = model.predict_proba(frame)  # a DataFrame with the columns below\n```',
        _table("Data", ("", ""), shown["facts"]),
        _table(
            "Scores on the test rows", ("metric", "value", "95 % interval"),
            [(line["label"], line["value"], line["interval"] or shown["dash"]) for line in shown["scores"]],
        ),
        _table(
            "Classes", ("class", "training rows", "test rows", "recall", "precision", "threshold"),
            _columns(shown["classes"], "name", "train", "test", "recall", "precision", "threshold"),
        ),
    ]  # fmt: skip
    if shown["alerts"]:
        rows = [tuple(line[key] for key in ("share", "rows", "threshold", "recall", "precision")) for line in shown["alerts"]]
        parts.append(
            _table(f"Alerts for '{shown['positive']}'", ("share looked at", "rows", "threshold", "found", "right"), rows)
        )
    if facts["importance"]:
        rows = [(line["column"], f"{line['drop']:.4f}") for line in facts["importance"][:10]]
        parts.append(_table("Columns that matter most", ("column", f"{facts['importance_metric']} lost when shuffled"), rows))
    rows = _columns(shown["columns"], "name", "kind", "missing", "use", "note")
    parts.append(_table("Columns", ("column", "kind", "missing", "use", "note"), rows))
    parts.append(_limits(facts, shown))
    parts.append("## How it was made\n\n```sh\n" + facts["command"] + "\n```\n\n" + _settings(shown))
    if shown["notes"]:
        parts.append("## Notes\n\n" + "\n".join(f"- {_cell(note)}" for note in shown["notes"]))
    return "\n\n".join(parts) + "\n"


def _limits(facts: Json, shown: Json) -> str:
    counts, names = facts["data"]["counts"], facts["data"]["class_names"]
    lines = [
        "The scores hold for rows like the test rows. Where the mix of classes differs, give it: "
        "`predict_proba(frame, prior=...)`, or `steelyard predict --prior`.",
        "Columns matter as they go together in these data; that is no statement about causes.",
    ]
    few = [str(name) for name, n in zip(names, counts["train"], strict=True) if n < 20]
    if few:
        lines.append(f"Fewer than 20 training rows: {', '.join(_cell(name) for name in few[:10])}; their scores are uncertain.")
    if not facts["data"]["split"].startswith("by time"):
        lines.append("The test rows are of the same time as the training rows; on later rows expect less.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _settings(shown: Json) -> str:
    lines = []
    for title, items in shown["settings"]:
        lines.append(f"- {title}: " + ", ".join(f"{_cell(key)} {_cell(value)}" for key, value in items))
    return "\n".join(lines)


def _columns(lines: list[Json], *keys: str) -> list[tuple[str, ...]]:
    return [tuple(line[key] for key in keys) for line in lines]


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(_cell(text) for text in cells) + " |" for cells in (head, *rows)]
    return f"## {title}\n\n" + "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _cell(text: Any) -> str:
    """Text that cannot break out of a table or become markup."""
    plain = " ".join(str(text).split())
    for sign in "\\|`*_<>[]":
        plain = plain.replace(sign, "\\" + sign)
    return plain
