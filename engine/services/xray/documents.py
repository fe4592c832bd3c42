"""Segment documents: what one may have, and those of a trace as a tree. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ... import wire

BYTES = 64 * 1024  # of a document: AWS's
_ID = re.compile(r"[0-9a-f]{16}")
_TRACE = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_W3C = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[\w\s.:/%&#=+\\\-@]{1,200}")
Document = dict[str, Any]


class Unprocessed(Exception):
    """A document that is not taken. code: AWS's; id: the segment's, as far as it is known."""

    def __init__(self, code: str, id: str | None, what: str = "segment") -> None:
        super().__init__(f"Invalid {what}. ErrorCode: {code}")
        self.code, self.id = code, id

    @property
    def members(self) -> dict[str, Any]:
        return {"Id": self.id, "ErrorCode": self.code, "Message": str(self)}


def read(text: str | bytes) -> Document:
    """A document that was sent. Raises Unprocessed."""
    data = text.encode() if isinstance(text, str) else text
    if len(data) > BYTES:
        raise Unprocessed("SegmentTooLarge", None)
    try:
        found = wire.decode(data)
    except (ValueError, RecursionError):
        raise Unprocessed("ParseError", None) from None
    if not isinstance(found, dict):
        raise Unprocessed("ParseError", None)
    what = "subsegment" if found.get("type") == "subsegment" else "segment"
    id = found.get("id")
    if id is None:
        raise Unprocessed("MissingId", None, what)
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise Unprocessed("InvalidId", str(id)[:16], what)
    try:
        _check(found, what)
    except RecursionError:
        raise Unprocessed("ParseError", id, what) from None
    return found


def _check(found: Document, what: str) -> None:
    id, trace = found["id"], found.get("trace_id")
    if trace is None:
        raise Unprocessed("MissingTraceId", id, what)
    if isinstance(trace, str) and _W3C.fullmatch(trace):
        trace = found["trace_id"] = f"1-{trace[:8]}-{trace[8:]}"
    if not isinstance(trace, str) or not _TRACE.fullmatch(trace):
        raise Unprocessed("InvalidTraceId", id, what)
    parent = found.get("parent_id")
    if what == "subsegment" and parent is None:
        raise Unprocessed("MissingParentId", id, what)
    if parent is not None and (not isinstance(parent, str) or not _ID.fullmatch(parent)):
        raise Unprocessed("InvalidParentId", id, what)
    _check_entity(found, id, what)


def _check_entity(found: Document, id: str, what: str) -> None:
    name = found.get("name")
    if name is None:
        raise Unprocessed("MissingName", id, what)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Unprocessed("InvalidName", id, what)
    start, end = found.get("start_time"), found.get("end_time")
    if start is None:
        raise Unprocessed("MissingStartTime", id, what)
    if not _is_time(start):
        raise Unprocessed("InvalidStartTime", id, what)
    if end is None and not found.get("in_progress"):
        raise Unprocessed("MissingEndTime", id, what)
    if end is not None and not _is_time(end):
        raise Unprocessed("InvalidEndTime", id, what)
    for name, kind in (("http", dict), ("aws", dict), ("annotations", dict), ("metadata", dict)):
        if found.get(name) is not None and not isinstance(found[name], kind):
            raise Unprocessed("ParseError", id, what)
    parts = found.get("subsegments") or []
    if not isinstance(parts, list):
        raise Unprocessed("ParseError", id, what)
    for part in parts:
        if not isinstance(part, dict):
            raise Unprocessed("ParseError", id, "subsegment")
        if not isinstance(part.get("id"), str):
            raise Unprocessed("MissingId", id, "subsegment")
        _check_entity(part, id, "subsegment")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11


def parts(document: Mapping[str, Any]) -> Iterator[Document]:
    """A document's own subsegments, and theirs."""
    stack = list(reversed(document.get("subsegments") or ()))
    while stack:
        each = stack.pop()
        yield each
        stack += reversed(each.get("subsegments") or ())


def tree(found: Iterable[Document]) -> list[Document]:
    """A trace's documents in order of time: subsegments that came by themselves are in their segments. One whose
    segment has not come is a document of its own."""
    ordered = sorted(found, key=lambda each: float(each["start_time"]))
    by_id: dict[str, Document] = {}
    for document in ordered:
        by_id[document["id"]] = document
        for part in parts(document):
            by_id.setdefault(part["id"], part)
    whole = []
    for document in ordered:
        above = by_id.get(document.get("parent_id", "")) if document.get("type") == "subsegment" else None
        if above is None or _holds(document, above):
            whole.append(document)
        else:
            for name in ("trace_id", "parent_id", "type"):
                document.pop(name, None)
            above["subsegments"] = [*(above.get("subsegments") or ()), document]
    return whole


def _holds(document: Document, other: Document) -> bool:
    """Is that one in this? They would be each other's parents."""
    return document is other or any(part is other for part in parts(document))


def end_of(document: Mapping[str, Any]) -> float:
    """What is in progress ends, so far, with what it began last."""
    return float(document.get("end_time") or document["start_time"])
