"""What a request to S3 is for: its bucket, its key, its operation."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from ...aws.messages import Request

# A bucket in a host's name: BUCKET.s3.REGION.amazonaws.com, BUCKET.s3.localhost, BUCKET.localhost.
_HOSTED = re.compile(r"(?!s3[.-])(?P<bucket>[a-z0-9][a-z0-9.-]*?)\.(?:s3[.-].+|localhost)", re.ASCII)
# Parameters that name no sub-resource: of signatures, and of the version.
_PLAIN = re.compile(r"x-id|versionId|X-Amz-.*|AWSAccessKeyId|Signature|Expires|response-.*|encoding-type")
_FORM = "multipart/form-data"
_LISTS = {
    "list-type", "prefix", "delimiter", "max-keys", "marker", "start-after", "continuation-token", "fetch-owner",
}  # fmt: skip
# The operations by method and sub-resource ("" for none): of objects, and of buckets.
_OBJECTS = {
    ("PUT", ""): "PutObject", ("GET", ""): "GetObject", ("HEAD", ""): "HeadObject", ("DELETE", ""): "DeleteObject",
    ("PUT", "tagging"): "PutObjectTagging", ("DELETE", "tagging"): "DeleteObjectTagging",
    ("PUT", "acl"): "PutObjectAcl", ("POST", "restore"): "RestoreObject", ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber uploadId"): "UploadPart", ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}  # fmt: skip
_BUCKETS = {
    ("PUT", ""): "CreateBucket", ("HEAD", ""): "HeadBucket", ("DELETE", ""): "DeleteBucket",
    ("POST", "delete"): "DeleteObjects", ("GET", "location"): "GetBucketLocation",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", "notification"): "PutBucketNotificationConfiguration",
    ("GET", "notification"): "GetBucketNotificationConfiguration",
}  # fmt: skip
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


class Target(NamedTuple):
    """operation: as botocore's model names it, PostObject for a form, or "" for one that nothing here is about."""

    bucket: str
    key: str
    operation: str
    query: dict[str, str]

    @property
    def version(self) -> str:
        return self.query.get("versionId", "")


def target(request: Request) -> Target:
    """Of a request, whose body need not be there."""
    path = request.path.lstrip("/") if request.path.startswith("//") else request.path[1:]
    found = _HOSTED.fullmatch(request.header("host").partition(":")[0].lower())
    bucket, _, key = (found["bucket"], "", path) if found else path.partition("/")
    query = dict(parse_qsl(request.query, keep_blank_values=True, errors="replace"))
    return Target(unquote(bucket), unquote(key), _operation(request, unquote(bucket), key, query), query)


def _operation(request: Request, bucket: str, key: str, query: dict[str, str]) -> str:
    parts = {name for name in query if not _PLAIN.fullmatch(name)}
    if not bucket:
        return "ListBuckets" if request.method == "GET" else ""
    if not key:
        if request.method == "GET" and parts <= _LISTS:
            return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
        if request.method == "POST" and not parts and request.header("content-type").startswith(_FORM):
            return "PostObject"
        return _BUCKETS.get((request.method, " ".join(sorted(parts))), "")
    if request.method in ("GET", "HEAD"):
        parts.discard("partNumber")
    name = _OBJECTS.get((request.method, " ".join(sorted(parts))), "")
    return _COPIES.get(name, name) if request.header("x-amz-copy-source") else name
