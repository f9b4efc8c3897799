"""Lets the API reference show our `Example:` sections as code; griffe knows the plural only."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

HEADING = re.compile(r"^Example:[ \t]*$", re.MULTILINE)


class SingularExamples(Extension):
    """Reads `Example:` as `Examples:`."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = HEADING.sub("Examples:", obj.docstring.value)
