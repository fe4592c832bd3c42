"""Whether a function's resource policy lets a service of AWS's invoke it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..durable.state import State

ACTION = "lambda:InvokeFunction"


def may_invoke(
    state: State, function: str, qualifier: str | None, service: str, source: str, account: str
) -> bool:
    """As permits, of a function and the version or alias that is invoked (None or "": none)."""
    return permits(state.get("policy", function, qualifier or ""), service, source, account)


def permits(record: Mapping[str, Any] | None, service: str, source: str, account: str) -> bool:
    """record: a policy's. service: "logs.amazonaws.com"; source: the ARN of what invokes the function, and whose it is.
    Of conditions those on the source are known: with another, a statement that allows does not, and one that denies
    does."""
    statements = record["Document"]["Statement"] if record else []
    context = {"aws:sourcearn": source, "aws:sourceaccount": account}
    effects = [
        each["Effect"]
        for each in (statements if isinstance(statements, list) else [statements])
        if _is_principal(each.get("Principal"), service)
        and any(like(str(action), ACTION, any_case=True) for action in _list(each.get("Action")))
        and _holds(each.get("Condition") or {}, context, unknown=each["Effect"] == "Deny")
    ]
    return "Allow" in effects and "Deny" not in effects


def _is_principal(principal: Any, service: str) -> bool:
    """A service has a name for each region, too."""
    if isinstance(principal, Mapping):
        principal = _list(principal.get("Service")) + ["*"] * ("*" in _list(principal.get("AWS")))
    name, _, rest = service.partition(".")
    regional = re.compile(rf"{re.escape(name)}\.[a-z0-9-]+\.{re.escape(rest)}")
    return any(each in ("*", service) or regional.fullmatch(str(each)) for each in _list(principal))


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str], unknown: bool) -> bool:
    for operator, keys in conditions.items():
        matches = _OPERATORS.get(operator.removesuffix("IfExists"))
        for key, wanted in keys.items():
            value = context.get(key.lower())
            if value is None or matches is None:
                return unknown
            if not any(matches(str(each), value) for each in _list(wanted)):
                return False
    return True


def _arn_like(pattern: str, value: str) -> bool:
    """Each of an ARN's six parts by itself, as AWS compares them."""
    parts, found = pattern.split(":", 5), value.split(":", 5)
    if len(parts) != len(found):
        return pattern == "*"
    return all(like(each, part) for each, part in zip(parts, found, strict=True))


def like(pattern: str, value: str, any_case: bool = False) -> bool:
    """A pattern in which "*" stands for any characters and "?" for one."""
    return _compiled(pattern, any_case).fullmatch(value) is not None


@lru_cache(1000)
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(re.sub(r"(\.\*)+", ".*", escaped), re.DOTALL | (re.IGNORECASE if any_case else 0))


# Of strings, and of ARNs.
_OPERATORS = {
    "ArnLike": _arn_like, "ArnEquals": _arn_like, "StringLike": like, "StringEquals": str.__eq__,
}  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
