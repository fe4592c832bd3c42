"""What a request has done to objects, by itself and its response; what these leave open, S3 is asked."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...aws.messages import Request
from ...aws.times import iso
from . import bodies
from .addressing import Target
from .records import Happening

# Of the operations that do something to objects: the events that may come of them.
EVENTS = {
    "PutObject": ("ObjectCreated:Put",),
    "PostObject": ("ObjectCreated:Post",),
    "CopyObject": ("ObjectCreated:Copy",),
    "CompleteMultipartUpload": ("ObjectCreated:CompleteMultipartUpload",),
    "DeleteObject": ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"),
    "DeleteObjects": ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"),
    "RestoreObject": ("ObjectRestore:Post", "ObjectRestore:Completed"),
    "PutObjectTagging": ("ObjectTagging:Put",),
    "DeleteObjectTagging": ("ObjectTagging:Delete",),
    "PutObjectAcl": ("ObjectAcl:Put",),
}
READ = {
    "PostObject": bodies.FORM_HEAD,
    "DeleteObjects": 4 << 20,
}  # bytes of their requests' bodies that are needed
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"  # the ETag of a delete marker
_EXPIRY = re.compile(r'expiry-date="([^"]+)"')
# Describes an object, by key and version; empty where it cannot.
Described = Callable[[str, str], Awaitable[Mapping[str, Any]]]


async def happened(
    request: Request,
    target: Target,
    sent: bytes,
    headers: Mapping[str, str],
    body: bytes,
    described: Described,
) -> list[Happening]:
    """Of a request that succeeded. sent: what READ says of its body; headers, body: the response's."""
    operation, events = target.operation, EVENTS[target.operation]
    version = _version(headers.get("x-amz-version-id", ""))
    if operation == "DeleteObjects":
        return [_deleted(each) for each in bodies.deletions(sent, body)]
    if operation == "DeleteObject":
        marker = headers.get("x-amz-delete-marker") == "true" and not target.version
        return [_deleted(bodies.Deleted(target.key, version or _version(target.version), marker))]
    if bodies.is_error(body):
        return []
    key = target.key
    if operation == "PostObject":
        key = bodies.form_key(request.header("content-type"), sent)
    length = request.header("x-amz-decoded-content-length") or request.header("content-length")
    if operation == "PutObject" and length.isdigit():
        etag = headers.get("etag", "").strip('"')
        return [Happening(events[0], key, int(length), etag, version)]
    about = await described(key, version or target.version)
    found = Happening(
        events[0], key, about.get("ContentLength"), str(about.get("ETag") or headers.get("etag", "")).strip('"'),
        version or _version(about.get("VersionId") or ""), storage=about.get("StorageClass") or "STANDARD",
    )  # fmt: skip
    restored = _EXPIRY.search(about.get("Restore") or "")
    if operation == "RestoreObject" and restored:
        expiry = email.utils.parsedate_to_datetime(restored[1]).timestamp()
        return [found, found._replace(event=events[1], expiry=iso(expiry))]
    return [found]


def _deleted(each: bodies.Deleted) -> Happening:
    if each.marker:
        return Happening("ObjectRemoved:DeleteMarkerCreated", each.key, None, EMPTY_MD5, each.version)
    return Happening("ObjectRemoved:Delete", each.key, version=each.version)


def _version(version: str) -> str:
    """Objects of buckets without versions have none, or "null"."""
    return "" if version == "null" else version
