"""The page and what it loads: files of the package, read once, and what a browser may do with them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from ..aws.messages import Response

_TYPES = {
    "html": b"text/html; charset=utf-8", "js": b"text/javascript; charset=utf-8", "css": b"text/css; charset=utf-8",
    "svg": b"image/svg+xml",
}  # fmt: skip
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
SAFE = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Asset(NamedTuple):
    kind: bytes
    body: bytes
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """By their paths below `static`."""
    found = {}
    root = files(__package__) / "static"
    folders = [("", root)]
    while folders:
        path, folder = folders.pop()
        for each in folder.iterdir():
            if each.is_dir():
                folders.append((f"{path}{each.name}/", each))
            elif (kind := _TYPES.get(each.name.rpartition(".")[2])) is not None:
                body = each.read_bytes()
                tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                found[path + each.name] = Asset(kind, body, tag)
    return found


def response(name: str, known: str, bare: bool) -> Response | None:
    """known: the request's If-None-Match; bare: without its body. None: there is no such file."""
    asset = assets().get(name)
    if asset is None:
        return None
    headers = [*SAFE, (b"cache-control", b"no-cache"), (b"etag", asset.tag.encode())]
    if known == asset.tag:
        return Response(304, headers, b"")
    return Response(200, [*headers, (b"content-type", asset.kind)], b"" if bare else asset.body)
