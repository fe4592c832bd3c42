"""What a function's response says of the items of its batch: ReportBatchItemFailures. Pure.

Lambda developer guide, "Success and failure conditions": an empty or null response or list is a success of the whole
batch; a response that is no JSON object, and an item without a known, non-empty identifier, is a failure of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .. import wire


def _plain(identifier: Any) -> str | None:
    return identifier if isinstance(identifier, str) else None


def failed(
    response: bytes, ids: Collection[str], id_of: Callable[[Any], str | None] = _plain
) -> set[str] | None:
    """The items that failed, of those with these ids. None: all of them, since the response is malformed. id_of: what
    an itemIdentifier says; None: nothing."""
    if not response:
        return set()
    try:
        decoded = wire.decode(response)
    except (ValueError, RecursionError):
        return None
    if decoded is None or decoded in ("", [], {}):
        return set()
    if not isinstance(decoded, dict):
        return None
    items = decoded.get("batchItemFailures")
    if items is None:
        return set()
    if not isinstance(items, list):
        return None
    found: set[str] = set()
    for item in items:
        id = id_of(item.get("itemIdentifier")) if isinstance(item, dict) else None
        if not id or id not in ids:
            return None
        found.add(id)
    return found
