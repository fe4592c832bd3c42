"""Uploads in parts to a bucket that is a folder: each has a hidden folder of its own until it is complete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...aws.faults import Fault
from .faults import invalid, malformed
from .folders import STAGED, Folder

PARTS = 10_000
_PIECE = 1 << 20
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Uploads:
    """One bucket's."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def begin(self, key: str, kept: Mapping[str, str]) -> str:
        """An upload's id. kept: what the object will have beside its bytes."""
        id = uuid.uuid4().hex
        path = self._path(id)
        path.mkdir()
        (path / "upload").write_text(json.dumps({"key": key, "kept": dict(kept)}))
        return id

    async def part(self, id: str, key: str, number: str, pieces: AsyncIterator[bytes]) -> str:
        """Its ETag. Raises Fault."""
        path = self._open(id, key)[0]
        if not number.isdigit() or not 1 <= int(number) <= PARTS:
            text = f"Part number must be an integer between 1 and {PARTS}, inclusive"
            raise invalid(text, "partNumber", number)
        digest = hashlib.md5()
        made = path / f"{uuid.uuid4().hex}.new"
        try:
            with made.open("xb") as file:
                async for piece in pieces:
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
            made.replace(path / number)
            (path / f"{number}.etag").write_text(digest.hexdigest())
        except FileNotFoundError:
            raise _no_upload() from None
        finally:
            made.unlink(missing_ok=True)
        return digest.hexdigest()

    def whole(
        self, id: str, key: str, parts: Sequence[Mapping[str, Any]]
    ) -> tuple[AsyncIterator[bytes], dict[str, str]]:
        """The parts' bytes, and what the object has beside them. Raises Fault."""
        path, kept = self._open(id, key)
        if not parts:
            raise malformed()
        numbers = [int(each.get("PartNumber") or 0) for each in parts]
        if numbers != sorted(set(numbers)):
            text = "The list of parts was not in ascending order. Parts must be ordered by part number."
            raise Fault("InvalidPartOrder", text)
        for number, each in zip(numbers, parts, strict=True):
            etag = path / f"{number}.etag"
            if not etag.exists() or etag.read_text() != str(each.get("ETag") or "").strip('"'):
                text = (
                    "One or more of the specified parts could not be found.  The part may not have been uploaded, or "
                    "the specified entity tag may not match the part's entity tag."
                )
                raise Fault("InvalidPart", text)
        return _joined([path / str(number) for number in numbers]), kept

    def end(self, id: str, key: str) -> None:
        """It is complete, or given up. Raises Fault."""
        shutil.rmtree(self._open(id, key)[0], ignore_errors=True)

    def _open(self, id: str, key: str) -> tuple[Path, dict[str, str]]:
        if _ID.fullmatch(id):
            try:
                upload = json.loads((self._path(id) / "upload").read_text())
            except (OSError, ValueError):
                raise _no_upload() from None
            if upload["key"] == key:
                return self._path(id), upload["kept"]
        raise _no_upload()

    def _path(self, id: str) -> Path:
        return self._folder.root / f"{STAGED}{id}"


async def _joined(paths: Sequence[Path]) -> AsyncIterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece


def _no_upload() -> Fault:
    return Fault(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
    )
