"""X-Amzn-Trace-Id: the header by which invocations that cause each other belong together."""

from __future__ import annotations

import re
from contextvars import ContextVar
from zlib import crc32

LINEAGE = "Lineage="  # the field that counts hops: routing/recursion.py
SAMPLED = "Sampled=1"
# The header of the request that an operation of a service is carried out for; "" where it brought none.
CURRENT: ContextVar[str] = ContextVar("trace", default="")
_ROOT = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})")
# As `completed` and `own` write one whose trace is kept.
_WHOLE = re.compile(r"Root=(1-[0-9a-f]{8}-[0-9a-f]{24});Parent=([0-9a-f]{16});Sampled=1(?:;|\Z)")
_ID = re.compile(r"[0-9a-f]{16}")
_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


def begin(id: bytes, at: float, sampled: bool) -> str:
    """The header of an invocation that nothing traced. id: the request's, 16 bytes; at: epoch seconds."""
    text = id.hex()
    return f"Root=1-{int(at):08x}-{text[:24]};Parent={text[16:]};Sampled={sampled:d}"


def tail(arn: str, sampled: bool) -> str:
    """What follows root and parent in the header of an invocation that nothing traced."""
    return f";Sampled={sampled:d};{LINEAGE}{function_hash(arn)}:0"


def own(id: bytes, at: float, arn: str) -> str:
    """The header of an invocation of a function that is traced, where nobody has decided before it."""
    return begin(id, at, True) + f";{LINEAGE}{function_hash(arn)}:0"


def function_hash(arn: str) -> str:
    """How a lineage names a function."""
    return f"{crc32(arn.encode()):08x}"


def completed(trace: str, id: bytes, at: float, sampled: bool) -> str:
    """A caller's header with what it lacks: a root; a parent; the decision whether it is sampled, which is the
    function's unless the caller has made it."""
    if not trace:
        return begin(id, at, sampled)
    fields = [field for field in (each.strip() for each in trace.split(";")) if field]
    names = {field.partition("=")[0]: field for field in fields}
    ours = begin(id, at, sampled).split(";")
    head = [names.get(field.partition("=")[0], field) for field in ours]
    if names.get("Sampled") not in ("Sampled=0", "Sampled=1"):
        head[2] = ours[2]
    return ";".join(
        [*head, *(field for field in fields if not field.startswith(("Root=", "Parent=", "Sampled=")))]
    )


def response_header(trace: str) -> bytes:
    """Of a response to an invocation with that header."""
    root, _parent, sampled = trace.split(";")[:3]
    return f"{root[:1].lower()}{root[1:]};{sampled[:1].lower()}{sampled[1:]}".encode("latin-1", "replace")


def field(trace: str, name: str) -> str:
    """A header's field ("Root"), "" where it has none."""
    return next(
        (each.strip()[len(name) + 1 :] for each in trace.split(";") if each.strip().startswith(f"{name}=")),
        "",
    )


def sampled(trace: str) -> tuple[str, str] | None:
    """Root and parent of a header whose trace is kept; None: it is not, or they are none of X-Ray's. parent: "" where
    it has none."""
    if whole := _WHOLE.match(trace):
        return whole[1], whole[2]
    if field(trace, "Sampled") != "1":
        return None
    root, parent = field(trace, "Root"), field(trace, "Parent")
    if not _ROOT.fullmatch(root) or (parent and not _ID.fullmatch(parent)):
        return None
    return root, parent


def plain(trace: str) -> str:
    """A header for what counts no hops."""
    return ";".join(each for each in trace.split(";") if not each.strip().startswith(LINEAGE))


def within(trace: str, parent: str) -> str:
    """The header for what a segment of that id causes."""
    if whole := _WHOLE.match(trace):
        return f"{trace[: whole.start(2)]}{parent}{trace[whole.end(2) :]}"
    fields = [each for each in trace.split(";") if each and not each.strip().startswith("Parent=")]
    return ";".join([*fields[:1], f"Parent={parent}", *fields[1:]])


def of_traceparent(value: str) -> str:
    """The header that means the same as W3C's; "": it is none."""
    found = _W3C.fullmatch(value.strip())
    if found is None or (value.strip().startswith("00-") and len(value.strip()) != 55):
        return ""
    root = f"1-{found[1][:8]}-{found[1][8:]}"
    return f"Root={root};Parent={found[2]};Sampled={int(found[3], 16) & 1}"


def traceparent(trace: str) -> str:
    """W3C's header of the same meaning; "" where a root or parent is missing."""
    root, parent = _ROOT.fullmatch(field(trace, "Root")), field(trace, "Parent")
    if root is None or not _ID.fullmatch(parent):
        return ""
    return f"00-{root[1]}{root[2]}-{parent}-{int(field(trace, 'Sampled') == '1'):02x}"


def of_request(xray: str, w3c: str) -> str:
    """The header that a request over HTTP goes on with: its X-Amzn-Trace-Id, else its traceparent's; "": neither."""
    return xray or (of_traceparent(w3c) if w3c else "")
