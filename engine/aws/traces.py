"""X-Amzn-Trace-Id: the header by which invocations that cause each other belong together."""

from __future__ import annotations

from zlib import crc32

LINEAGE = "Lineage="  # the field that counts hops: routing/recursion.py


def begin(id: bytes, at: float, sampled: bool) -> str:
    """The header of an invocation that nothing traced. id: the request's, 16 bytes; at: epoch seconds."""
    text = id.hex()
    return f"Root=1-{int(at):08x}-{text[:24]};Parent={text[16:]};Sampled={sampled:d}"


def tail(arn: str, sampled: bool) -> str:
    """What follows root and parent in the header of an invocation that nothing traced."""
    return f";Sampled={sampled:d};{LINEAGE}{function_hash(arn)}:0"


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
