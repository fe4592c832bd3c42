"""What the bodies of S3's requests and responses say of objects: forms, deletions, errors behind a status 200."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from botocore.model import Shape
from botocore.parsers import create_parser

from ...aws.model import service_model
from ...aws.shapes import xml_members
from .faults import malformed

FORM_HEAD = 64 * 1024  # bytes of a form that are looked at: its fields stand before the file
_NAME = re.compile(rb'\bname="((?:[^"\\]|\\.)*)"')
_FILE = re.compile(rb'filename="((?:[^"\\]|\\.)*)"')
_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*<Error\b")


class Deleted(NamedTuple):
    """marker: a delete marker was made, whose version this is."""

    key: str
    version: str
    marker: bool


def is_error(body: bytes) -> bool:
    """Of a response whose status was sent before it was known."""
    return _ERROR.match(body) is not None


def form_key(content_type: str, head: bytes) -> str:
    """The key that a form's object gets, "" where that is not found."""
    found = re.search(r'boundary="?([^";,]+)"?', content_type)
    if found is None:
        return ""
    key = file = b""
    for part in head.split(b"--" + found[1].encode("latin-1")):
        headers, _, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(headers)
        if name is None:
            continue
        if name[1].lower() == b"key":
            key = value.removesuffix(b"\r\n")
        elif name[1].lower() == b"file":
            if filename := _FILE.search(headers):
                file = filename[1].rpartition(b"\\")[2].rpartition(b"/")[2]
            break
    return key.replace(b"${filename}", file).decode("utf-8", "replace")


def parsed(body: bytes, shape: str) -> dict[str, Any]:
    """A body by the name of its shape. Raises Fault."""
    try:
        found: dict[str, Any] = create_parser("rest-xml").parse(
            {"status_code": 200, "headers": {}, "body": body}, _shape(shape)
        )
    except Exception as error:  # whatever botocore's parser trips over
        raise malformed() from error
    return found


def deletions(request: bytes, response: bytes) -> list[Deleted]:
    """What DeleteObjects did. One that was asked to be quiet tells of errors only: of it no delete marker is known."""
    asked = parsed(request, "Delete")
    result = parsed(response, "DeleteObjectsOutput")
    if not asked.get("Quiet"):
        return [
            Deleted(
                each["Key"],
                each.get("DeleteMarkerVersionId") or each.get("VersionId") or "",
                bool(each.get("DeleteMarker")) and not each.get("VersionId"),
            )
            for each in result.get("Deleted") or ()
        ]
    failed = {(each.get("Key"), each.get("VersionId")) for each in result.get("Errors") or ()}
    return [
        Deleted(each["Key"], each.get("VersionId") or "", False)
        for each in asked.get("Objects") or ()
        if (each["Key"], each.get("VersionId")) not in failed
    ]


def rendered(shape: str, members: dict[str, Any]) -> str:
    """The members of a body, by the name of its shape, as XML."""
    return "".join(xml_members(_shape(shape), members))


def _shape(name: str) -> Shape:
    return service_model("s3").shape_for(name)
