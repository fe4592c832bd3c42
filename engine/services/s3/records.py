"""What happened to an object, as S3 tells of it: a record, an event on a bus, and the test of a destination."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ... import wire
from ...aws.names import Place
from ...aws.service import Caller
from ...aws.times import iso

SUBJECT = "Amazon S3 Notification"  # of a message to a topic
_VERSION, _VERSION_LATER = "2.1", "2.3"  # of a record; the second has the events that came later
_LATER = ("ObjectTagging", "ObjectAcl")
_CREATED = {
    "Put": "PutObject", "Post": "POST Object", "Copy": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
}  # fmt: skip
_DETAIL_TYPES = {
    "ObjectTagging:Put": "Object Tags Added", "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectAcl:Put": "Object ACL Updated", "ObjectRestore:Post": "Object Restore Initiated",
    "ObjectRestore:Completed": "Object Restore Completed",
}  # fmt: skip
_DELETIONS = {"Delete": "Permanently Deleted", "DeleteMarkerCreated": "Delete Marker Created"}


class Happening(NamedTuple):
    """event: "ObjectCreated:Put"; size, etag, version: of the object, as far as they are known; expiry, storage: of one
    that was restored."""

    event: str
    key: str
    size: int | None = None
    etag: str = ""
    version: str = ""
    expiry: str = ""
    storage: str = ""


class Cause(NamedTuple):
    """Who did it: as S3 calls him, his account, his address; and the ids of the request."""

    principal: str
    account: str
    address: str
    request_id: str
    host_id: str

    @classmethod
    def of(cls, caller: Caller, address: str, request_id: str = "", host_id: str = "") -> Cause:
        user = caller.session.user_id if caller.session else caller.key or caller.place.account
        id = request_id or uuid.uuid4().hex[:16].upper()
        return cls(f"AWS:{user}", caller.place.account, address, id, host_id or id)


class Bucket(NamedTuple):
    name: str
    place: Place

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"


class Sequencer:
    """Makes the sequencers of one server's events: as AWS's, hexadecimal digits that grow with each event."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        self._last = max(time.time_ns(), self._last + 1)
        seconds, rest = divmod(self._last, 1_000_000_000)
        return f"{seconds:010X}{rest:08X}"


def record(
    bucket: Bucket, happening: Happening, cause: Cause, configuration: str, sequencer: str, at: float
) -> dict[str, Any]:
    """One of an event's Records. at: epoch seconds."""
    kind = happening.event.partition(":")[0]
    about: dict[str, Any] = {"key": encoded(happening.key)}
    if kind in ("ObjectCreated", "ObjectRestore") and happening.size is not None:
        about["size"] = happening.size
    if happening.etag:
        about["eTag"] = happening.etag
    if happening.version:
        about["versionId"] = happening.version
    if kind not in _LATER:
        about["sequencer"] = sequencer
    found: dict[str, Any] = {
        "eventVersion": _VERSION_LATER if kind in _LATER else _VERSION, "eventSource": "aws:s3",
        "awsRegion": bucket.place.region, "eventTime": iso(at), "eventName": happening.event,
        "userIdentity": {"principalId": cause.principal},
        "requestParameters": {"sourceIPAddress": cause.address},
        "responseElements": {"x-amz-request-id": cause.request_id, "x-amz-id-2": cause.host_id},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": configuration,
            "bucket": {
                "name": bucket.name, "ownerIdentity": {"principalId": _owner(bucket.place.account)}, "arn": bucket.arn,
            },
            "object": about,
        },
    }  # fmt: skip
    if happening.event == "ObjectRestore:Completed":
        found["glacierEventData"] = {
            "restoreEventData": {
                "lifecycleRestorationExpiryTime": happening.expiry, "lifecycleRestoreStorageClass": happening.storage,
            }
        }  # fmt: skip
    return found


def bus_event(
    bucket: Bucket, happening: Happening, cause: Cause, sequencer: str, at: float
) -> dict[str, Any]:
    """An event for the default bus."""
    kind, _, how = happening.event.partition(":")
    about: dict[str, Any] = {"key": happening.key}
    if kind != "ObjectRemoved":
        if happening.size is not None and kind != "ObjectAcl":
            about["size"] = happening.size
        if happening.etag:
            about["etag"] = happening.etag
    if happening.version:
        about["version-id"] = happening.version
    if kind not in ("ObjectAcl", "ObjectRestore"):
        about["sequencer"] = sequencer
    detail: dict[str, Any] = {
        "version": "0", "bucket": {"name": bucket.name}, "object": about, "request-id": cause.request_id,
        "requester": cause.account, "source-ip-address": cause.address,
    }  # fmt: skip
    type = _DETAIL_TYPES.get(happening.event, "Object Created")
    if kind == "ObjectCreated":
        detail["reason"] = _CREATED[how]
    elif kind == "ObjectRemoved":
        type = "Object Deleted"
        detail |= {"reason": "DeleteObject", "deletion-type": _DELETIONS[how]}
    elif kind == "ObjectRestore":
        detail["source-storage-class"] = happening.storage
        if how == "Completed":
            detail["restore-expiry-time"] = happening.expiry
    return {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": type, "source": "aws.s3",
        "account": bucket.place.account, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "region": bucket.place.region, "resources": [bucket.arn], "detail": detail,
    }  # fmt: skip


def test_event(bucket: Bucket, cause: Cause) -> bytes:
    """What a queue or a topic gets when a bucket is configured to send to it."""
    found = {
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": iso(time.time()), "Bucket": bucket.name,
        "RequestId": cause.request_id, "HostId": cause.host_id,
    }  # fmt: skip
    return wire.encode(found)


def encoded(key: str) -> str:
    """As in a form, but for slashes."""
    return quote_plus(key, safe="/*")


def _owner(account: str) -> str:
    """An account as S3 calls it: "A" and thirteen letters and digits."""
    return "A" + base64.b32encode(hashlib.sha256(account.encode()).digest()).decode()[:13]
