"""Requests that are sent again with their ClientToken: they have the result that they had, and do nothing more."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...aws.names import Place
from .faults import conflict

KEPT = 10_000  # deletions; those of what was made or changed are in its record


def digest(members: Mapping[str, Any]) -> str:
    """Of a request, its token included."""
    return hashlib.sha256(wire.encode(dict(sorted(members.items())))).hexdigest()


class Deletions:
    """The last ones."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[tuple[Place, str], str] = OrderedDict()

    def repeated(self, place: Place, members: Mapping[str, Any]) -> bool:
        """Was this one carried out? Raises Fault for the token of another."""
        token = members.get("ClientToken")
        known = self._tokens.get((place, token)) if token else None
        if known is None:
            return False
        if known != digest(members):
            raise conflict(f"ClientToken {token} was used for another request.")
        return True

    def done(self, place: Place, members: Mapping[str, Any]) -> None:
        if token := members.get("ClientToken"):
            self._tokens[place, token] = digest(members)
            if len(self._tokens) > KEPT:
                self._tokens.popitem(last=False)
