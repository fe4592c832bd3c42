"""Signs the server's own requests: AWS Signature Version 4 of a POST to a JSON service, in one pass over few bytes.

The day's key is kept, and so is the current second's stamp: what is left is two hashes and an HMAC. And URLs that carry
their signature.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import quote

from .canonical import ALGORITHM, canonical_request, sign, signing_key


class Credentials(Protocol):
    """Botocore's."""

    access_key: str
    secret_key: str
    token: str | None


_NOTHING = hashlib.sha256().hexdigest()  # of a request without a body
SKEW = 240.0  # seconds by which a clock is wrong enough to be corrected, as botocore has it
# Errors that a wrong clock may be the reason of.
_CLOCK = (
    "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignature", "SignatureDoesNotMatch",
    "AuthFailure",
)  # fmt: skip


class Clock:
    """This machine's, corrected by what an endpoint says of the time. time: epoch seconds."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._second = 0
        self._stamp = ""

    def stamp(self) -> str:
        """YYYYMMDDTHHMMSSZ."""
        second = int(time.time() + self.offset)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self._stamp

    def corrected(self, code: str, date: str) -> bool:
        """After an error and its response's Date: is the clock another one now, so that trying again makes sense?"""
        if not any(each in code for each in _CLOCK):
            return False
        try:
            theirs = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return False
        if abs(theirs - (time.time() + self.offset)) <= SKEW:
            return False
        self.offset = theirs - time.time()
        return True


_CHANGED = "x-amzn-trace-id"  # by proxies on the way: it is not signed


def signed_post(
    host: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, credentials: Credentials,
    scope: tuple[str, str], stamp: str,
) -> bytes:  # fmt: skip
    """A whole request. headers: names in lower case, neither Host nor a date among them; path: as it is sent; scope:
    region and service; stamp: now."""
    unsigned = [f"{name}: {value}\r\n" for name, value in headers if name == _CHANGED]
    named = [*(each for each in headers if each[0] != _CHANGED), ("host", host), ("x-amz-date", stamp)]
    if credentials.token:
        named.append(("x-amz-security-token", credentials.token))
    named.sort()
    lines = "".join([f"{name}:{value}\n" for name, value in named])
    names = ";".join([name for name, _ in named])
    request = f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}".encode()
    day, (region, service) = stamp[:8], scope
    where = f"{day}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{stamp}\n{where}\n{hashlib.sha256(request).hexdigest()}".encode()
    key = signing_key(credentials.secret_key, day, region, service)
    signature = hmac.digest(key, text, "sha256").hex()
    sent = "".join([*(f"{name}: {value}\r\n" for name, value in named), *unsigned])
    return (
        f"POST {path} HTTP/1.1\r\n{sent}authorization: {ALGORITHM} Credential={credentials.access_key}/{where}, "
        f"SignedHeaders={names}, Signature={signature}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode("latin-1") + body


def presigned(
    host: str, query: Sequence[tuple[str, str]], credentials: Credentials, scope: tuple[str, str], stamp: str, life: int
) -> str:  # fmt: skip
    """The URL of a GET that whoever has it may send. query: pairs, none of them a signature's; scope: region and
    service; stamp: now; life: seconds for which it is taken."""
    day, (region, service) = stamp[:8], scope
    pairs = [
        *query, ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{credentials.access_key}/{day}/{region}/{service}/aws4_request"),
        ("X-Amz-Date", stamp), ("X-Amz-Expires", str(life)), ("X-Amz-SignedHeaders", "host"),
    ]  # fmt: skip
    if credentials.token:
        pairs.append(("X-Amz-Security-Token", credentials.token))
    text = "&".join([f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs])
    request = canonical_request("GET", "/", text, [("host", host)], ["host"], _NOTHING)
    signature = sign(credentials.secret_key, stamp, (day, region, service), request)
    return f"https://{host}/?{text}&X-Amz-Signature={signature}"
