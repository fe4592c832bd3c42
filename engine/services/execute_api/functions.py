"""The functions behind APIs: found, allowed, and invoked in time."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ... import limits, wire
from ...aws import traces
from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.state import Change
from ...hosting.invoker import new_id
from ...hosting.permissions import may_invoke
from ...hosting.placements import Hosting, Placement
from ...hosting.results import Result
from ..apigatewayv2.integrations import FUNCTION

PRINCIPAL = "apigateway.amazonaws.com"
VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
_MOST = 10_000
_TABLES = frozenset({"policy", "function", "alias"})


class Reason(Enum):
    """Why a function was not invoked."""

    DENIED = "its policy does not allow it"
    ABSENT = "there is none of that name"
    THROTTLED = "there is no concurrency left"
    LATE = "it takes longer than the integration may"
    LARGE = "its event would be larger than Lambda takes"
    BROKEN = "Lambda failed"


class NotInvoked(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Function:
    """Which one an integration means. trusted: it has a role to invoke it with, so that no policy is asked."""

    place: Place
    name: str
    qualifier: str | None
    trusted: bool


def function_of(
    record: Mapping[str, Any] | None, uri: str, role: str, variables: Mapping[str, str]
) -> Function | None:
    """The function of an integration or authorizer, with a stage's variables filled in; None: it has none. uri, role:
    its members for them."""
    given = (record or {}).get(uri) or ""
    found = FUNCTION.fullmatch(VARIABLE.sub(lambda match: variables.get(match[1], ""), given))
    if record is None or found is None:
        return None
    place = Place(found["region"], found["account"])
    return Function(place, found["name"], found["qualifier"], trusted=bool(record.get(role)))


class Functions:
    """Belongs to the event loop."""

    def __init__(self, hosting: Hosting, principal: str = PRINCIPAL) -> None:
        """principal: whom functions' policies are to allow."""
        self._hosting = hosting
        self._principal = principal
        self._allowed: dict[tuple[Function, str], bool] = {}
        hosting.watchers.append(self._changed)

    def _changed(self, placement: Placement, change: Change) -> None:
        if any(table in _TABLES for table, *_ in change.steps):
            self._allowed.clear()

    async def invoke(
        self,
        function: Function | None,
        source: str,
        account: str,
        event: bytes,
        id: bytes,
        seconds: float,
        trace: str = "",
    ) -> Result:
        """source: the ARN of what invokes it, account: whose that is; trace: its request's X-Amzn-Trace-Id. Raises
        NotInvoked."""
        if function is None:
            raise NotInvoked(Reason.ABSENT)
        if not function.trusted and not self._allows(function, source, account):
            raise NotInvoked(Reason.DENIED)
        if len(event) > limits.EVENT_BYTES:
            raise NotInvoked(Reason.LARGE)
        invoker = self._hosting.of(function.place).invoker
        try:
            id = id or new_id()
            sampled = invoker.sampled(function.name, function.qualifier)
            extras = None
            if trace or sampled:
                extras = wire.Extras(trace=traces.completed(trace, id, time.time(), sampled))
            async with asyncio.timeout(seconds):
                result = await invoker.result(function.name, function.qualifier, event, id, extras)
        except TimeoutError:
            raise NotInvoked(Reason.LATE) from None
        except Fault as fault:
            result = fault
        if isinstance(result, Fault):
            reasons = {
                "TooManyRequestsException": Reason.THROTTLED,
                "ResourceNotFoundException": Reason.ABSENT,
            }
            raise NotInvoked(reasons.get(result.code, Reason.BROKEN))
        return result

    def _allows(self, function: Function, source: str, account: str) -> bool:
        key = function, source
        found = self._allowed.get(key)
        if found is None:
            if len(self._allowed) >= _MOST:
                self._allowed.clear()
            state = self._hosting.of(function.place).state
            found = self._allowed[key] = may_invoke(
                state, function.name, function.qualifier, self._principal, source, account
            )
        return found
