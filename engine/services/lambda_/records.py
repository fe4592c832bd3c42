"""The kinds of Lambda's records: whose each is, and what goes with a function, a version or an alias."""

from __future__ import annotations

from typing import NamedTuple

from ...durable.state import Change, State


class Kind(NamedTuple):
    """owner: what its records are kept under. id: what tells an owner's records apart; "": each has but one."""

    owner: str
    id: str = ""


KINDS = {
    "about": Kind("function"),  # the number of its next version
    "alias": Kind("function", "alias"),
    "code-signing": Kind("function"),
    "code-signing-config": Kind("configuration"),
    "concurrency": Kind("function"),
    "event-source-mapping": Kind("UUID"),
    "function": Kind("function", "version"),
    "invoke-config": Kind("function", "version or alias"),
    "layer": Kind("layer", "version"),
    "layer-about": Kind("layer"),
    "layer-policy": Kind("layer", "version"),
    "policy": Kind("function", "version, alias or nothing"),
    "provisioned": Kind("function", "version or alias"),
    "recursion": Kind("function"),
    "runtime-management": Kind("function", "version"),
    "tags": Kind("ARN"),
    "url": Kind("function", "alias or nothing"),
    "url-id": Kind("URL"),
}
_OF_A_FUNCTION = tuple(name for name, kind in KINDS.items() if kind.owner == "function")


def discard(state: State, change: Change, table: str, owner: str, id: str = "") -> None:
    """Delete a record, if there is one."""
    if state.get(table, owner, id) is not None:
        change.delete(table, owner, id)


def forget(state: State, change: Change, name: str, qualifier: str | None = None) -> None:
    """Delete all that hangs on a function, or on one version or alias of it."""
    for table in _OF_A_FUNCTION:
        for id, record in state.owned(table, name).items():
            if qualifier in (None, id):
                change.delete(table, name, id)
                if table == "url":
                    change.delete("url-id", record["_id"], "")
