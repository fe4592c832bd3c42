"""Packages as GetFunction and GetLayerVersion link to them: whoever has the link, with its digest, may read."""

from __future__ import annotations

import re

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.model import Model
from ...aws.service import Access, Caller, Service
from ...hosting.packages import Packages


class CodeArchive(Service):
    """GET …/functions/NAME/code-archive/DIGEST, and of layers."""

    name = "code archive"
    paths = re.compile(r"GET /\d{4}-\d\d-\d\d/(functions|layers)/[^/]+/code-archive/[0-9A-Za-z]+\Z")
    body_bytes = 0

    def __init__(self, packages: Packages, model: Model) -> None:
        self._packages = packages
        self._model = model

    def access(self, request: Request) -> Access:
        return Access.OPEN

    async def call(self, request: Request, caller: Caller) -> Response:
        path = self._packages.archive(request.path.rsplit("/", 1)[1])
        if not path.exists():
            raise Fault("ResourceNotFoundException", "There is no such package", Type="User")
        return Response(200, [(b"content-type", b"application/zip")], b"", path)

    def error(self, request: Request, fault: Fault) -> Response:
        return self._model.error(fault, "")
