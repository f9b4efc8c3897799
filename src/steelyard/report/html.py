"""A page in one file: template, style, scripts, plotting library and data put together; and written in one step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steelyard.core.errors import SteelyardError


def render(template: str, scripts: Sequence[str], context: dict[str, Any]) -> str:
    """The page as text. What users named (classes, files, commands) is escaped, in the markup and in the data.

    Args:
        template: a file of `steelyard/report/page`.
        scripts: files of it, run in this order after the plotting library.
        context: what the template shows; its "data" is what the scripts read.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("steelyard.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False, "ensure_ascii": False}
    source = environment.loader
    assert source is not None
    code = [Markup(source.get_source(environment, name)[0]) for name in scripts]
    style = Markup(source.get_source(environment, "style.css")[0])
    return environment.get_template(template).render(**context, style=style, scripts=code, plotly=Markup(get_plotlyjs()))


def write_page(path: Path, text: str) -> Path:
    """Write a page so that it replaces an older one in one step.

    Raises:
        SteelyardError: it cannot be written there.
    """
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SteelyardError(f"the report cannot be written to {path}: {error.strerror or error}") from error
    return path
