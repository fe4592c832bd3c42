"""Mapping templates and parameters, as far as they are static: texts with variables of the context and the stage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from .faults import not_here

_VARIABLE = re.compile(r"\$\{?(context\.[\w.]+|stageVariables\.\w+)\}?")
_LANGUAGE = re.compile(
    r"#(?:set|if|foreach|end|else|elseif|macro)\b|\$!?\{?(?!context\.|stageVariables\.)[a-zA-Z]"
)


def check(templates: Mapping[str, str | None] | None) -> None:
    """Raises Fault for a template that is more than that."""
    for text in (templates or {}).values():
        if _LANGUAGE.search(text or ""):
            raise not_here("A mapping template with expressions of the Velocity language")


def rendered(text: str, value: Callable[[str], str | None]) -> str:
    """value: of a variable, such as context.stage."""
    return _VARIABLE.sub(lambda found: value(found[1]) or "", text)


def mapped(expression: str, value: Callable[[str], str | None]) -> str | None:
    """What a parameter is mapped to: 'a text in quotes', or what an expression means; None: there is none."""
    if len(expression) > 1 and expression[0] == expression[-1] == "'":
        return expression[1:-1]
    return value(expression)
