"""The operations that need what is not here, phones and mobile devices: refused, with a typed error."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import partial
from typing import Any

from ...aws.service import Caller, Handler
from .faults import not_here

_PUSH = ("Platform", "Endpoint")


def refused(names: Iterable[str], found: Container[str]) -> dict[str, Handler]:
    """Those of a model's operations that `found` has not."""
    return {name: partial(_refuse, name) for name in names if name not in found}


def _refuse(name: str, _members: dict[str, Any], _caller: Caller) -> Any:
    if "DataProtectionPolicy" in name:
        raise not_here("data protection policies are")
    raise not_here("mobile push is" if any(word in name for word in _PUSH) else "sms is")
