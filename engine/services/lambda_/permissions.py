"""What a function's resource policy lets a service of AWS do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...durable.state import State

_LIKE = frozenset({"ArnLike", "ArnEquals", "StringLike"})


def invocable(
    state: State, name: str, qualifier: str | None, service: str, source: str, account: str
) -> bool:
    """May a service ("apigateway.amazonaws.com") invoke the function on behalf of a resource's ARN, which is that
    account's? Conditions that are not known let nobody in."""
    record = state.get("policy", name, qualifier or "")
    found = (record or {}).get("Document", {}).get("Statement", [])
    effects = [
        each.get("Effect")
        for each in (found if isinstance(found, list) else [found])
        if isinstance(each, dict)
        and _is_of(each.get("Principal"), service)
        and any(like(str(action), "lambda:InvokeFunction", True) for action in _listed(each.get("Action")))
        and _holds(each, source, account)
    ]
    return "Allow" in effects and "Deny" not in effects


def _is_of(principal: object, service: str) -> bool:
    if isinstance(principal, dict):
        return service in _listed(principal.get("Service")) or "*" in _listed(principal.get("AWS"))
    return principal == "*"


def _holds(statement: Mapping[str, Any], source: str, account: str) -> bool:
    known = {"aws:sourcearn": source, "aws:sourceaccount": account}
    denies = statement.get("Effect") == "Deny"
    conditions = statement.get("Condition") or {}
    for operator, pairs in conditions.items():
        for key, wanted in pairs.items() if isinstance(pairs, dict) else ():
            value = known.get(key.lower())
            if value is None or (operator not in _LIKE and operator != "StringEquals"):
                return denies
            patterns = [str(each) for each in _listed(wanted)]
            if operator == "StringEquals":
                if value not in patterns:
                    return False
            elif not any(_arn_like(each, value) for each in patterns):
                return False
    return True


def _arn_like(pattern: str, value: str) -> bool:
    """Each of an ARN's six parts by itself, as AWS compares them."""
    parts, found = pattern.split(":", 5), value.split(":", 5)
    if len(parts) != len(found):
        return pattern == "*"
    return all(like(each, part) for each, part in zip(parts, found, strict=True))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(pattern: str, value: str, any_case: bool = False) -> bool:
    """A pattern in which "*" stands for any characters and "?" for one."""
    return _compiled(pattern, any_case).fullmatch(value) is not None


@lru_cache(1000)
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(re.sub(r"(\.\*)+", ".*", escaped), re.DOTALL | (re.IGNORECASE if any_case else 0))
