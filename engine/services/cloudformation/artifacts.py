"""Code and templates that `stoker deploy` brings along, by their digests: what S3 is where there is no S3.

PUT /_stoker/artifacts/SHA256 keeps a body, PUT /_stoker/artifacts/ many of them, in the form of deploy/artifacts.py;
POST there with a JSON list of digests returns those that are not there. A template names one as an object of the bucket
"stoker-artifacts". What no stack names goes when the server starts, if it is older than an hour: it may be on its way
into a stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Collection, Container, Mapping
from pathlib import Path

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.protocols.base import STATUS
from ...aws.service import Caller, Service
from ...deploy.artifacts import BUCKET, PATH, unbundled
from ...deploy.kinds.base import NotMade
from ...hosting import disk

KEPT = 3600.0  # seconds
_ROUTE = re.compile(rf"(?:PUT {PATH}([0-9a-f]{{64}})?|POST {PATH})\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(rf"https?://[^/]+{PATH}([0-9a-f]{{64}})\Z")


class Artifacts(Service):
    """Of one server."""

    name = "artifacts"
    paths = _ROUTE
    signed_for = "cloudformation"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def call(self, request: Request, caller: Caller) -> Response:
        found = _ROUTE.match(f"{request.method} {request.path}")
        assert found is not None
        if request.method == "POST":
            missing = json.dumps(self._missing(request.body)).encode()
            return Response(200, [(b"content-type", b"application/json")], missing)
        if found[1] is not None:
            await self.keep({found[1]: request.body})
            return Response(200, [], b"")
        try:
            files = unbundled(request.body)
            if not all(_DIGEST.fullmatch(digest) for digest in files):
                raise ValueError("a name is no SHA-256 digest")
        except ValueError as error:
            raise Fault("ValidationError", f"the body is no bundle of artifacts: {error}") from None
        await self.keep(files)
        return Response(200, [], b"")

    async def keep(self, files: Mapping[str, bytes]) -> None:
        """By their digests. Raises Fault, OSError."""
        await asyncio.get_running_loop().run_in_executor(None, self._keep, files)

    def _missing(self, body: bytes) -> list[str]:
        """Of these digests. The others are about to be named, and stay a while. Raises Fault."""
        try:
            digests = json.loads(body)
            if not all(_DIGEST.fullmatch(digest) for digest in digests):
                raise ValueError
        except (ValueError, TypeError):
            raise Fault("ValidationError", "write a JSON list of SHA-256 digests") from None
        missing = []
        for digest in digests:
            try:
                os.utime(self._folder / digest)
            except OSError:
                missing.append(digest)
        return missing

    def error(self, request: Request, fault: Fault) -> Response:
        status = STATUS.get(fault.code, 400)
        return Response(status, [(b"content-type", b"text/plain")], (fault.message or fault.code).encode())

    def read(self, bucket: str, key: str) -> bytes | None:
        """An object of the bucket, None of any other. Raises NotMade."""
        if bucket != BUCKET:
            return None
        try:
            return (self._folder / key).read_bytes()
        except OSError:
            raise NotMade(f"s3://{bucket}/{key} was not uploaded here") from None

    def of_url(self, url: str) -> bytes | None:
        """Raises NotMade."""
        found = _URL.fullmatch(url)
        return self.read(BUCKET, found[1]) if found else None

    def collect(self, named: Container[str], age: float = KEPT, among: Collection[str] | None = None) -> None:
        """Let go what is not named and so many seconds old. among: look at these only."""
        if not self._folder.is_dir():
            return
        oldest = time.time() - age
        for path in self._folder.iterdir() if among is None else [self._folder / name for name in among]:
            with contextlib.suppress(OSError):
                if path.name not in named and path.stat().st_mtime < oldest:
                    path.unlink()

    def _keep(self, files: Mapping[str, bytes]) -> None:
        """Each whole, and on the disk, before it is there under its name."""
        for digest, body in files.items():
            if hashlib.sha256(body).hexdigest() != digest:
                raise Fault("ValidationError", f"the body is not what {digest} is the SHA-256 of")
        self._folder.mkdir(exist_ok=True)
        new = {digest: self._folder / f"{digest}.{uuid.uuid4().hex}" for digest in files}
        try:
            for digest, path in new.items():
                path.write_bytes(files[digest])
            for path in new.values():
                disk.sync(path)
            for digest, path in new.items():
                path.rename(self._folder / digest)
        except OSError:
            for path in new.values():
                path.unlink(missing_ok=True)
            raise
        disk.sync(self._folder)
