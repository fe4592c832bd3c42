"""Who may call an API: whoever signed, and whom Lambda authorizers let in; their decisions are kept for a while."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ... import wire
from ...hosting.permissions import like
from ..urls.service import identity_of
from .exchange import Exchange
from .functions import Function, Functions, NotInvoked
from .responses import Refused

SECONDS = 10.0  # that an authorizer has; AWS's limit for HTTP APIs, and here for REST APIs, too
_MOST = 10_000
_DENIED = "User is not authorized to access this resource"
_UNAUTHORIZED = "Unauthorized"  # what one fails with whose caller is to identify himself


@dataclass(frozen=True, slots=True)
class Decision:
    """policy: who may do what; or, of a simple response, whether he may. members: all that was returned beside."""

    policy: bool | Mapping[str, Any]
    principal: str
    context: Mapping[str, Any]
    usage_key: str = ""

    def check(self, arn: str) -> None:
        """Raises Refused."""
        effects = {"allow"} if self.policy is True else effects_of(self.policy, arn) if self.policy else set()
        if "deny" in effects:
            raise Refused("ACCESS_DENIED", message=f"{_DENIED} with an explicit deny")
        if "allow" not in effects:
            raise Refused("ACCESS_DENIED", message=_DENIED)


def signer(exchange: Exchange, guarded: bool) -> dict[str, Any]:
    """Who signed the request, as the "iam" object of an event; the exchange has it, too. guarded: the signature was
    verified. Raises Refused: nobody did."""
    if not guarded and not exchange.request.header("authorization"):
        raise Refused("MISSING_AUTHENTICATION_TOKEN")
    account = exchange.caller.place.account
    identity = identity_of(account, exchange.caller.key if guarded else "unverified")
    exchange.identity = {
        "accessKey": identity["accessKey"], "accountId": account, "caller": account, "user": account,
        "userArn": identity["userArn"],
    }  # fmt: skip
    return identity


class LambdaAuthorizers:
    """Belongs to the event loop."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._kept: dict[Hashable, tuple[float, Decision]] = {}

    async def decide(
        self,
        exchange: Exchange,
        id: str,
        function: Function | None,
        event: Mapping[str, Any],
        simple: bool,
        key: Hashable,
        ttl: int,
    ) -> Decision:
        """key: what the decision is kept by, for ttl seconds. Raises Refused."""
        whole = (exchange.api_id, exchange.stage, id, key)
        kept = self._kept.get(whole)
        if ttl and kept is not None and kept[0] > time.monotonic():
            return kept[1]
        source = exchange.arn(f"authorizers/{id}")
        account = exchange.place.account
        try:
            result = await self._functions.invoke(
                function, source, account, wire.encode(event), b"", SECONDS, exchange.trace
            )
        except NotInvoked:
            raise Refused("AUTHORIZER_CONFIGURATION_ERROR") from None
        plain = simple and not result.failed
        decision = _simple(result.payload) if plain else _decision(result.payload, result.failed)
        if ttl:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[whole] = time.monotonic() + ttl, decision
        return decision


def _simple(payload: bytes) -> Decision:
    reply = _object(payload)
    allowed, context = reply.get("isAuthorized"), reply.get("context") or {}
    if not isinstance(allowed, bool) or not isinstance(context, dict):
        raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
    return Decision(allowed, "", context)


def _decision(payload: bytes, failed: bool) -> Decision:
    reply = _object(payload)
    if failed:
        known = reply.get("errorMessage") == _UNAUTHORIZED
        raise Refused("UNAUTHORIZED" if known else "AUTHORIZER_FAILURE")
    policy, context = reply.get("policyDocument"), reply.get("context") or {}
    if not isinstance(policy, dict) or not isinstance(context, dict) or "principalId" not in reply:
        raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
    return Decision(policy, str(reply["principalId"]), context, str(reply.get("usageIdentifierKey") or ""))


def _object(payload: bytes) -> dict[str, Any]:
    try:
        reply = wire.decode(payload)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
    return reply


def effects_of(policy: Mapping[str, Any], arn: str) -> set[str]:
    """What a policy document says of a call of what the ARN names: "allow", "deny", both or nothing. A statement with
    a condition lets nobody in."""
    effects = set()
    for each in _listed(policy.get("Statement")):
        if (
            isinstance(each, dict)
            and any(like(str(action), "execute-api:Invoke", True) for action in _listed(each.get("Action")))
            and any(like(str(resource), arn) for resource in _listed(each.get("Resource")))
            and not (each.get("Condition") and each.get("Effect") == "Allow")
        ):
            effects.add(str(each.get("Effect")).lower())
    return effects


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]
