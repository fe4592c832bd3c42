"""The one form of a request that both sides of AWS Signature Version 4 sign, and the signature of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"

Headers = Sequence[tuple[str, str]]


def canonical_request(
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Headers,
    signed_headers: Sequence[str],
    payload: str,
    *,
    s3: bool = False,
) -> bytes:
    """The request in the one form that both sides sign. S3 takes paths as they are; the rest of AWS normalises them
    and encodes them once more."""
    wire_path = wire(raw_path)
    path = quote(unquote_to_bytes(wire_path), safe="/~") if s3 else quote(_normalised(wire_path), safe="/~")
    values: dict[str, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(b" ".join(wire(value).split()))
    lines = [wire(f"{name}:") + b",".join(values.get(name, ())) + b"\n" for name in signed_headers]
    return b"\n".join(
        [
            wire(method.upper()),
            (path or "/").encode(),
            _canonical_query(wire(raw_query)),
            b"".join(lines),
            wire(";".join(signed_headers)),
            wire(payload),
        ]
    )


def string_to_sign(stamp: str, scope: tuple[str, str, str], request: bytes) -> str:
    """`stamp` is YYYYMMDDTHHMMSSZ, `scope` (YYYYMMDD, region, service), `request` canonical."""
    return f"{ALGORITHM}\n{stamp}\n{'/'.join(scope)}/aws4_request\n{hashlib.sha256(request).hexdigest()}"


def sign(secret: str, stamp: str, scope: tuple[str, str, str], request: bytes) -> str:
    """The signature that the holder of `secret` gives a canonical request: 64 hexadecimal digits."""
    text = string_to_sign(stamp, scope, request)
    return hmac.new(signing_key(secret, *scope), wire(text), hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def signing_key(secret: str, *scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (*scope, "aws4_request"):
        key = hmac.new(key, wire(part), hashlib.sha256).digest()
    return key


def _canonical_query(raw_query: bytes) -> bytes:
    pairs = []
    for pair in raw_query.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b"%20").partition(b"=")
            pairs.append((quote(unquote_to_bytes(name), safe="~"), quote(unquote_to_bytes(value), safe="~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)).encode()


def _normalised(path: bytes) -> bytes:
    """Without empty, "." and ".." segments."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    folder = kept and path.endswith(b"/")
    return b"/" + b"/".join(kept) + (b"/" if folder else b"")


def wire(text: str) -> bytes:
    """The bytes that stood on the wire: text that is not Latin-1 was decoded as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
