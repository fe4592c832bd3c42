"""S3's operations on a bucket that is a folder."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.service import Caller
from ...aws.sigv4 import SIGNATURE
from ...aws.streams import Receive, Send, content, read_whole, respond
from ...aws.times import iso
from . import bodies
from .addressing import Target
from .faults import invalid, xml
from .folder_uploads import Uploads
from .folders import Entry, Folder
from .records import Bucket, Cause, Happening
from .watching import Watch

PAGE = 1000  # keys of a listing
XML_BYTES = 4 << 20  # of a request
PIECE = 256 * 1024
LISTED_BYTES = 1 << 20  # of a file that is read because a listing has its ETag
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
# What an object keeps of the headers that it was put with, beside x-amz-meta-*.
_KEPT = {
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
}
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class FolderRequests:
    """One bucket's. Belongs to the event loop."""

    def __init__(self, bucket: Bucket, folder: Folder, watch: Watch) -> None:
        self._bucket = bucket
        self._folder = folder
        self._watch = watch
        self._uploads = Uploads(folder)

    async def stream(
        self, request: Request, about: Target, receive: Receive, send: Send, caller: Caller
    ) -> None:
        """Raises Fault, ClientGone."""
        if about.operation in ("GetObject", "HeadObject"):
            await self._get(request, about, send)
            return
        operations: dict[str, Callable[..., Any]] = {
            "HeadBucket": self._head, "GetBucketLocation": self._location, "GetBucketVersioning": self._versioning,
            "ListObjects": self._list, "ListObjectsV2": self._list, "CreateBucket": self._create,
            "PutObject": self._put, "CopyObject": self._copy, "DeleteObject": self._delete,
            "DeleteObjects": self._delete_many, "CreateMultipartUpload": self._begin, "UploadPart": self._part,
            "CompleteMultipartUpload": self._complete, "AbortMultipartUpload": self._abort,
        }  # fmt: skip
        run = operations.get(about.operation)
        if run is None:
            text = f"{request.method} {request.path}: a bucket that is a folder does not have this operation."
            raise Fault("NotImplemented", text)
        await respond(send, await run(request, about, receive, caller))

    # Buckets.

    async def _head(self, *_: Any) -> Response:
        return xml(200, b"", headers={"x-amz-bucket-region": self._bucket.place.region})

    async def _location(self, *_: Any) -> Response:
        region = self._bucket.place.region
        return _document("LocationConstraint", "" if region == "us-east-1" else region)

    async def _versioning(self, *_: Any) -> Response:
        return _document("VersioningConfiguration", "")

    async def _create(self, *_: Any) -> Response:
        text = "Your previous request to create the named bucket succeeded and you already own it."
        raise Fault("BucketAlreadyOwnedByYou", text, BucketName=self._bucket.name)

    async def _list(self, _request: Request, about: Target, *_: Any) -> Response:
        query, second = about.query, about.operation == "ListObjectsV2"
        most = query.get("max-keys") or str(PAGE)
        if not most.isdigit():
            raise invalid("Provided max-keys not an integer or within integer range", "max-keys", most)
        after = query.get("start-after" if second else "marker", "")
        if token := query.get("continuation-token"):
            try:
                after = base64.urlsafe_b64decode(token).decode()
            except ValueError:
                raise invalid(
                    "The continuation token provided is incorrect", "continuation-token", token
                ) from None
        prefix, delimiter, wanted = query.get("prefix", ""), query.get("delimiter", ""), min(int(most), PAGE)
        listing = await asyncio.to_thread(self._folder.listing, prefix, delimiter, after, wanted)

        def name(text: str) -> str:
            return quote(text, safe="/") if query.get("encoding-type") == "url" else text

        contents = await asyncio.to_thread(lambda: [self._listed(each, name) for each in listing.entries])
        members: dict[str, Any] = {
            "Name": self._bucket.name, "Prefix": name(prefix), "MaxKeys": wanted,
            "IsTruncated": bool(listing.next) and wanted > 0, "Contents": [each for each in contents if each],
            "CommonPrefixes": [{"Prefix": name(each)} for each in listing.prefixes],
        }  # fmt: skip
        if delimiter:
            members["Delimiter"] = name(delimiter)
        if "encoding-type" in query:
            members["EncodingType"] = query["encoding-type"]
        if second:
            members["KeyCount"] = len(listing.entries) + len(listing.prefixes)
            members |= {"StartAfter": name(query["start-after"])} if "start-after" in query else {}
            members |= {"ContinuationToken": token} if token else {}
            if members["IsTruncated"]:
                members["NextContinuationToken"] = base64.urlsafe_b64encode(listing.next.encode()).decode()
        else:
            members["Marker"] = name(query.get("marker", ""))
            if members["IsTruncated"]:
                members["NextMarker"] = name(listing.next)
        return _document("ListBucketResult", bodies.rendered(f"{about.operation}Output", members))

    def _listed(self, entry: Entry, name: Callable[[str], str]) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, Fault):
            etag = self._folder.etag(entry, at_most=LISTED_BYTES)
            return {
                "Key": name(entry.key), "LastModified": entry.modified, "ETag": f'"{etag}"' if etag else None,
                "Size": entry.size, "StorageClass": "STANDARD",
            }  # fmt: skip
        return None  # it is gone meanwhile

    # Objects.

    async def _get(self, request: Request, about: Target, send: Send) -> None:
        file: BinaryIO
        if about.key.endswith("/"):  # a folder
            entry, file = self._folder.existing(about.key), io.BytesIO()
        else:
            entry, file = self._folder.open(about.key)
        with file:
            etag = f'"{await asyncio.to_thread(self._folder.etag, entry)}"'
            _check_conditions(request, etag)
            if etag in _etags(request.header("if-none-match")) or request.header("if-none-match") == "*":
                await respond(send, Response(304, [(b"etag", etag.encode())], b""))
                return
            start, end = _range(request.header("range"), entry.size)
            kept = {name: value for name, value in self._folder.about(about.key).items() if value}
            headers = {
                **_ids(), **kept, "etag": etag, "last-modified": formatdate(entry.modified, usegmt=True),
                "accept-ranges": "bytes", "content-length": str(end - start),
            }  # fmt: skip
            partial = (start, end) != (0, entry.size)
            if partial:
                headers["content-range"] = f"bytes {start}-{end - 1}/{entry.size}"
            sent = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": sent})
            left = 0 if request.method == "HEAD" else end - start
            if left:
                file.seek(start)
            while left:
                piece = await asyncio.to_thread(file.read, min(left, PIECE))
                if not piece:
                    raise OSError(f"{about.key} has become shorter")  # the connection ends: it is not whole
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _put(self, request: Request, about: Target, receive: Receive, caller: Caller) -> Response:
        if request.header("if-none-match") == "*" and self._folder.entry(about.key):
            raise Fault("PreconditionFailed", _PRECONDITION, Condition="If-None-Match")
        if request.header("if-match"):
            there = self._folder.existing(about.key)
            _check_conditions(request, f'"{await asyncio.to_thread(self._folder.etag, there)}"')
        kept = _kept(request)
        declared = request.header("x-amz-content-sha256")
        digest = declared if SIGNATURE.fullmatch(declared) else ""
        etag = await self._store(
            about.key, content(request, receive), kept, digest, "ObjectCreated:Put", _cause(caller, request)
        )
        return xml(200, b"", headers={"etag": f'"{etag}"'})

    async def _store(
        self,
        key: str,
        pieces: AsyncIterator[bytes],
        kept: Mapping[str, str],
        digest: str,
        event: str,
        cause: Cause,
    ) -> str:
        """The object's ETag, once it and word of it are durable. digest: its SHA-256, "" for any. Raises Fault."""
        self._folder.path(key)
        path, file = self._folder.stage()
        try:
            with file:
                sha256, md5, size = hashlib.sha256(), hashlib.md5(), 0
                async for piece in pieces:
                    size += len(piece)
                    md5.update(piece)
                    if digest:
                        sha256.update(piece)
                    await asyncio.to_thread(file.write, piece)
            if digest and sha256.hexdigest() != digest:
                text = "The provided 'x-amz-content-sha256' header does not match what was computed."
                raise Fault("XAmzContentSHA256Mismatch", text)
            if key.endswith("/"):
                if size:
                    raise invalid("This bucket is a folder: a key that ends in / has no content", "Key", key)
                await asyncio.to_thread(self._folder.make, key)
                return hashlib.md5().hexdigest()
            entry = await asyncio.to_thread(self._folder.staged, path, key, kept)
            etag = md5.hexdigest()
            self._folder.knows(entry, etag)
            async with self._watch.changing(key, entry, Happening(event, key, entry.size, etag), cause):
                await asyncio.to_thread(self._folder.place, path, key)
        finally:
            path.unlink(missing_ok=True)
        return etag

    async def _copy(self, request: Request, about: Target, _receive: Receive, caller: Caller) -> Response:
        source = unquote(request.header("x-amz-copy-source").partition("?")[0]).removeprefix("/")
        bucket, _, key = source.partition("/")
        if bucket != self._bucket.name:
            raise Fault("NotImplemented", "A bucket that is a folder takes copies of its own objects only.")
        entry = self._folder.existing(key)
        replaced = request.header("x-amz-metadata-directive").upper() == "REPLACE"
        kept = _kept(request) if replaced else self._folder.about(key)
        etag = await self._store(
            about.key, _file(self._folder, entry), kept, "", "ObjectCreated:Copy", _cause(caller, request)
        )
        return _document(
            "CopyObjectResult", f'<ETag>"{etag}"</ETag><LastModified>{iso(int(time.time()))}</LastModified>'
        )

    async def _delete(self, request: Request, about: Target, _receive: Receive, caller: Caller) -> Response:
        await self._remove(about.key, _cause(caller, request))
        return xml(204, b"")

    async def _remove(self, key: str, cause: Cause) -> None:
        """What is not there is gone. Raises Fault."""
        entry = self._folder.entry(key)
        if entry is None or not entry.stamp:
            await asyncio.to_thread(self._folder.delete, key)
            return
        async with self._watch.changing(key, None, Happening("ObjectRemoved:Delete", key), cause):
            await asyncio.to_thread(self._folder.delete, key)

    async def _delete_many(
        self, request: Request, _about: Target, receive: Receive, caller: Caller
    ) -> Response:
        asked = bodies.parsed(await read_whole(request, receive, XML_BYTES), "Delete")
        members: dict[str, list[dict[str, Any]]] = {"Deleted": [], "Errors": []}
        for each in asked.get("Objects") or ():
            try:
                await self._remove(each["Key"], _cause(caller, request))
                if not asked.get("Quiet"):
                    members["Deleted"].append({"Key": each["Key"]})
            except Fault as fault:
                error = {"Key": each["Key"], "Code": fault.code, "Message": fault.message}
                members["Errors"].append(error)
        return _document("DeleteResult", bodies.rendered("DeleteObjectsOutput", members))

    # Uploads in parts.

    async def _begin(self, request: Request, about: Target, *_: Any) -> Response:
        self._folder.path(about.key)
        id = await asyncio.to_thread(self._uploads.begin, about.key, _kept(request))
        text = bodies.rendered(
            "CreateMultipartUploadOutput", {"Bucket": self._bucket.name, "Key": about.key, "UploadId": id}
        )
        return _document("InitiateMultipartUploadResult", text)

    async def _part(self, request: Request, about: Target, receive: Receive, _caller: Caller) -> Response:
        etag = await self._uploads.part(
            about.query["uploadId"], about.key, about.query["partNumber"], content(request, receive)
        )
        return xml(200, b"", headers={"etag": f'"{etag}"'})

    async def _complete(self, request: Request, about: Target, receive: Receive, caller: Caller) -> Response:
        id = about.query["uploadId"]
        asked = bodies.parsed(await read_whole(request, receive, XML_BYTES), "CompletedMultipartUpload")
        pieces, kept = self._uploads.whole(id, about.key, asked.get("Parts") or [])
        etag = await self._store(
            about.key, pieces, kept, "", "ObjectCreated:CompleteMultipartUpload", _cause(caller, request)
        )
        await asyncio.to_thread(self._uploads.end, id, about.key)
        members = {"Bucket": self._bucket.name, "Key": about.key, "ETag": f'"{etag}"'}
        text = bodies.rendered("CompleteMultipartUploadOutput", members)
        return _document("CompleteMultipartUploadResult", text)

    async def _abort(self, _request: Request, about: Target, *_: Any) -> Response:
        await asyncio.to_thread(self._uploads.end, about.query["uploadId"], about.key)
        return xml(204, b"")


_PRECONDITION = "At least one of the pre-conditions you specified did not hold"


def _check_conditions(request: Request, etag: str) -> None:
    """Raises Fault."""
    wanted = request.header("if-match")
    if wanted and wanted != "*" and etag not in _etags(wanted):
        raise Fault("PreconditionFailed", _PRECONDITION, Condition="If-Match")


def _etags(header: str) -> list[str]:
    return [
        f'"{each.strip().removeprefix("W/").strip(chr(34))}"' for each in header.split(",") if each.strip()
    ]


def _range(header: str, size: int) -> tuple[int, int]:
    """Where a Range begins and ends; all, where it is none that is understood. Raises Fault."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size
    start = int(found[1]) if found[1] else max(0, size - int(found[2]))
    end = min(size, int(found[2]) + 1) if found[1] and found[2] else size
    if start >= size or (found[1] and found[2] and int(found[2]) < start):
        raise Fault("InvalidRange", "The requested range is not satisfiable", RangeRequested=header)
    return start, end


def _kept(request: Request) -> dict[str, str]:
    found = {
        name: value for name, value in request.headers if name in _KEPT or name.startswith("x-amz-meta-")
    }
    encodings = [each.strip() for each in found.pop("content-encoding", "").split(",")]
    if rest := ",".join(each for each in encodings if each and each != "aws-chunked"):
        found["content-encoding"] = rest
    return {"content-type": "binary/octet-stream", **found}


def _cause(caller: Caller, request: Request) -> Cause:
    return Cause.of(caller, request.client)


async def _file(folder: Folder, entry: Entry) -> AsyncIterator[bytes]:
    with folder.open(entry.key)[1] as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def _ids() -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in xml(200, b"").headers if name != b"content-type"}


def _document(name: str, members: str) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{_NAMESPACE}">{members}</{name}>'
    return xml(200, text.encode())
