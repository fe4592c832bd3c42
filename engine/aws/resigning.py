"""Requests signed again: what a client signed for this server, signed for AWS with the user's own credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .sigv4 import S3, SIGNATURE, UNSIGNED

Header = tuple[str, str]
# What the first signature was made of, and what the new one, or the connection, has of its own.
_REPLACED = {
    "authorization", "date", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token",
}  # fmt: skip
_UNCHUNKED = {"x-amz-decoded-content-length", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"}
_SIGNED_FORM = "multipart/form-data"  # its policy is signed in a field of its own
_AS_IT_IS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def has_own_signature(headers: Sequence[Header]) -> bool:
    """A form for S3, which carries its signature in its body: it goes on as it is."""
    return any(name == "content-type" and value.startswith(_SIGNED_FORM) for name, value in headers)


def unchunked(headers: Sequence[Header]) -> list[Header]:
    """The headers of a request whose chunks were signed, each on its own, once its body is decoded."""
    sizes = [value for name, value in headers if name == "x-amz-decoded-content-length"]
    kept: list[Header] = []
    for name, value in headers:
        if name == "content-encoding":
            rest = ",".join(each for each in value.split(",") if each.strip() != "aws-chunked")
            kept += [(name, rest)] if rest else []
        elif name not in _UNCHUNKED and name not in ("content-length", "transfer-encoding"):
            kept.append((name, value))
    return kept + [("content-length", size) for size in sizes[:1]]


def resigned(
    method: str,
    url: str,
    headers: Sequence[Header],
    body: bytes | None,
    credentials: Credentials,
    service: str,
    region: str,
) -> tuple[str, list[Header]]:
    """The URL, without the signature of a presigned one, and the headers. headers: names in lower case. body: None, for
    S3 only, while it is streamed: then its hash is the one that the request declares, or it goes unsigned."""
    parts = urlsplit(url)
    query = "&".join(pair for pair in parts.query.split("&") if not _is_signature(pair))
    url = urlunsplit(parts._replace(query=query))
    kept = [(name, value) for name, value in headers if name not in _REPLACED]
    request = AWSRequest(method, url, data=body or b"")
    for name, value in kept:
        request.headers[name] = value
    if service in S3:
        declared = next((value for name, value in headers if name == "x-amz-content-sha256"), "")
        payload = declared if SIGNATURE.fullmatch(declared) or declared == _AS_IT_IS else UNSIGNED
        signer: Any = _S3(credentials, service, region, payload)
    else:
        signer = SigV4Auth(credentials, service, region)
    signer.add_auth(request)
    return url, [*kept, *((n.lower(), str(v)) for n, v in request.headers.items() if n.lower() in _REPLACED)]


def _is_signature(pair: str) -> bool:
    """A query parameter that signs: version 4's, or version 2's."""
    return pair.startswith("X-Amz-") or pair.partition("=")[0] in ("AWSAccessKeyId", "Signature", "Expires")


class _S3(S3SigV4Auth):  # type: ignore[misc]
    def __init__(self, credentials: Credentials, service: str, region: str, payload: str) -> None:
        super().__init__(credentials, service, region)
        self._declared = payload

    def payload(self, _request: Any) -> str:
        return self._declared
