"""What a function's response says of the items of its batch: ReportBatchItemFailures. Pure.

Lambda developer guide, "Success and failure conditions": an empty or null response or list is a success of the whole
batch; a response that is no JSON object, and an item without a known, non-empty identifier, is a failure of the whole.
"""

from __future__ import annotations

from collections.abc import Collection

from .. import wire


def failed(response: bytes, ids: Collection[str]) -> set[str] | None:
    """The items that failed, of those with these ids. None: all of them, since the response is malformed."""
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
        id = item.get("itemIdentifier") if isinstance(item, dict) else None
        if not isinstance(id, str) or not id or id not in ids:
            return None
        found.add(id)
    return found
