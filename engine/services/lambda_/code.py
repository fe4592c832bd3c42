"""The code of a function: from the request's archive or from S3 into the store of packages.

That takes as long as S3 and the disk take, and the control plane is one thread. So an operation that comes to its
code for the first time is given up with NotUnpacked, before it has changed anything. Whoever runs it has the package
made elsewhere, and then carries out the operation once more, on what the records are by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...hosting.archives import backslashed
from ...hosting.packages import Package, Packages
from .control import Control
from .responses import invalid

_PACKAGE = "_package"  # in a request: what its code was unpacked to


class Upload:
    """The package that an operation waits for. make: makes it, in any thread, in use in `packages` until it is
    released. Raises Fault, OSError."""

    def __init__(self, request: Mapping[str, Any], packages: Packages, make: Callable[[], Package]) -> None:
        self._request = request
        self.packages = packages
        self.make = make

    def with_package(self, package: Package) -> dict[str, Any]:
        """The request to carry out then."""
        return {**self._request, _PACKAGE: package}


class NotUnpacked(Exception):
    """An operation waits for its package. (Who catches it keeps the upload, not the error: that would keep itself, by
    its traceback's frames, and the archive with it, until Python's collector comes.)"""

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self.upload = upload


def received(control: Control, request: Mapping[str, Any], code: Mapping[str, Any]) -> Package:
    """The package of a request's Code (CreateFunction), Content (a layer) or of the request itself
    (UpdateFunctionCode). Raises Fault, NotUnpacked."""
    if code.get("ImageUri"):
        raise invalid("Container images are not run here: send a .zip archive (PackageType Zip)")
    if code.get("S3ObjectStorageMode") == "REFERENCE":
        raise invalid("S3ObjectStorageMode: code is always copied here: leave it out, or say COPY")
    package: Package | None = request.get(_PACKAGE)
    if package is not None:
        return package
    archive: bytes | None = code.get("ZipFile")
    fetch = _checked(control, code) if archive is None else None
    if archive is not None and len(archive) > limits.ZIPPED_BYTES:
        text = f"Zipped size must be smaller than {limits.ZIPPED_BYTES} bytes"
        raise Fault("RequestEntityTooLargeException", text)

    def make() -> Package:
        data = fetch() if fetch is not None else archive
        if not data:
            raise invalid("Uploaded file must be a non-empty zip")
        package = control.packages.add(data)
        if count := backslashed(data):
            control.warn(
                f"{request.get('FunctionName') or request.get('LayerName')}: {count} members of the archive have "
                "backslashes in their names: as on AWS these are files of such names, in no directory. Pack it with /"
            )
        return package

    raise NotUnpacked(Upload(request, control.packages, make))


def _checked(control: Control, code: Mapping[str, Any]) -> Callable[[], bytes]:
    """What fetches the code from S3. Raises Fault."""
    bucket, key, fetch = code.get("S3Bucket"), code.get("S3Key"), control.fetch
    if not bucket or not key:
        raise invalid("Please provide a source for function code.")
    if fetch is None:
        raise invalid(
            f"There is no S3 to fetch s3://{bucket}/{key} from: start the server with --aws, --aws-endpoint or "
            "--bucket, or send ZipFile"
        )
    return lambda: fetch(bucket, key, code.get("S3ObjectVersion"))
