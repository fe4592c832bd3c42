"""Whether a function's resource policy lets a service of AWS's invoke it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..durable.state import State

ACTION = "lambda:InvokeFunction"


def may_invoke(state: State, function: str, qualifier: str, service: str, source: str, account: str) -> bool:
    """Of a function, and the version or alias that is invoked ("": none). service: "logs.amazonaws.com"; source: the
    ARN of what invokes it, and whose it is."""
    record = state.get("policy", function, qualifier)
    statements = record["Document"]["Statement"] if record else []
    context = {"aws:sourcearn": source, "aws:sourceaccount": account}
    found = [
        each["Effect"]
        for each in (statements if isinstance(statements, list) else [statements])
        if _is_principal(each.get("Principal"), service)
        and any(_like(action, ACTION, fold=True) for action in _list(each.get("Action")))
        and _holds(each.get("Condition") or {}, context)
    ]
    return "Allow" in found and "Deny" not in found


def _is_principal(principal: Any, service: str) -> bool:
    """A service has a name for each region, too."""
    if isinstance(principal, Mapping):
        principal = _list(principal.get("Service")) + ["*"] * ("*" in _list(principal.get("AWS")))
    name, _, rest = service.partition(".")
    regional = re.compile(rf"{re.escape(name)}\.[a-z0-9-]+\.{re.escape(rest)}")
    return any(each in ("*", service) or regional.fullmatch(str(each)) for each in _list(principal))


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """An operator or a key that is not known holds for nothing."""
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            value = context.get(key.lower())
            if value is None or operator not in _OPERATORS:
                return False
            if not any(_like(str(each), value, wild=_OPERATORS[operator]) for each in _list(wanted)):
                return False
    return True


# Those of strings: have they wildcards?
_OPERATORS = {"ArnLike": True, "ArnEquals": True, "StringLike": True, "StringEquals": False}


def _like(pattern: str, value: str, *, wild: bool = True, fold: bool = False) -> bool:
    if not wild:
        return pattern == value
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in pattern)
    return re.fullmatch("".join(parts), value, re.IGNORECASE if fold else 0) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
