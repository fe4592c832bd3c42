"""The code of a function: from the request's archive or from S3 into the store of packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...hosting.packages import Package
from .control import Control
from .responses import invalid


def received(control: Control, code: Mapping[str, Any]) -> Package:
    """The package of a request's Code (CreateFunction, UpdateFunctionCode) or Content (a layer). Raises Fault."""
    if code.get("ImageUri"):
        raise invalid("Container images are not run here: send a .zip archive (PackageType Zip)")
    if code.get("S3ObjectStorageMode") == "REFERENCE":
        raise invalid("S3ObjectStorageMode: code is always copied here: leave it out, or say COPY")
    archive = code.get("ZipFile")
    if archive is None:
        archive = _fetched(control, code)
    elif len(archive) > limits.ZIPPED_BYTES:
        text = f"Zipped size must be smaller than {limits.ZIPPED_BYTES} bytes"
        raise Fault("RequestEntityTooLargeException", text)
    if not archive:
        raise invalid("Uploaded file must be a non-empty zip")
    return control.packages.add(archive)


def _fetched(control: Control, code: Mapping[str, Any]) -> bytes:
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if not bucket or not key:
        raise invalid("Please provide a source for function code.")
    if control.fetch is None:
        raise invalid(
            f"There is no S3 to fetch s3://{bucket}/{key} from: start the server with --aws-endpoint, or send ZipFile"
        )
    return control.fetch(bucket, key, code.get("S3ObjectVersion"))
