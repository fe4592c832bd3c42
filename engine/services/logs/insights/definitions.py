"""Saved queries: PutQueryDefinition and what belongs to it, in one file of the account's and region's."""

from __future__ import annotations

import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from ....aws.faults import Fault
from ..tokens import token, untoken

DEFINITIONS = 1000
LISTED = 1000

Request = dict[str, Any]


class Definition(msgspec.Struct, omit_defaults=True):
    """modified: epoch ms; token: of the request that made it."""

    id: str
    name: str
    query: str
    groups: list[str]
    modified: int
    token: str = ""
    parameters: list[dict[str, str]] = []


class DefinitionOperations:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._definitions: dict[str, Definition] | None = None

    def put_query_definition(self, r: Request) -> Request:
        if r.get("queryLanguage", "CWLI") != "CWLI":
            text = f"The query language {r['queryLanguage']} is not supported: CWLI is"
            raise Fault("InvalidParameterException", text)
        given, key = r.get("queryDefinitionId"), r.get("clientToken", "")
        with self._lock:
            known = self._load()
            if given is not None and given not in known:
                raise _absent()
            again = next((each.id for each in known.values() if key and each.token == key), None)
            number = given or again or str(uuid.uuid4())
            if number not in known and len(known) >= DEFINITIONS:
                raise Fault("LimitExceededException", "Resource limit exceeded.")
            made = Definition(
                number, r["name"], r["queryString"], r.get("logGroupNames", []), int(time.time() * 1000), key,
                r.get("parameters", []),
            )  # fmt: skip
            self._keep(known | {number: made})
        return {"queryDefinitionId": number}

    def describe_query_definitions(self, r: Request) -> Request:
        prefix, after = r.get("queryDefinitionNamePrefix", ""), untoken(r.get("nextToken"), str, str)
        with self._lock:
            known = sorted(self._load().values(), key=lambda each: (each.name, each.id))
        found = [
            each
            for each in known
            if each.name.startswith(prefix)
            and (not after or (each.name, each.id) > (after[0], after[1]))
            and r.get("queryLanguage", "CWLI") == "CWLI"
        ]
        most = r.get("maxResults", LISTED)
        result: Request = {"queryDefinitions": [_shown(each) for each in found[:most]]}
        if len(found) > most:
            result["nextToken"] = token(found[most - 1].name, found[most - 1].id)
        return result

    def delete_query_definition(self, r: Request) -> Request:
        with self._lock:
            left = dict(self._load())
            if left.pop(r["queryDefinitionId"], None) is None:
                raise _absent()
            self._keep(left)
        return {"success": True}

    def _load(self) -> dict[str, Definition]:
        if self._definitions is None:
            try:
                found = msgspec.json.decode(self._file.read_bytes(), type=list[Definition])
            except FileNotFoundError:
                found = []
            except ValueError as error:
                raise OSError(f"{self._file} cannot be read: {error}") from None
            self._definitions = {each.id: each for each in found}
        return self._definitions

    def _keep(self, definitions: dict[str, Definition]) -> None:
        """All of it or nothing, and on the disk."""
        new = self._file.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(list(definitions.values())))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)
        self._definitions = definitions


def _shown(each: Definition) -> Request:
    found: Request = {
        "queryLanguage": "CWLI", "queryDefinitionId": each.id, "name": each.name, "queryString": each.query,
        "lastModified": each.modified,
    }  # fmt: skip
    if each.groups:
        found["logGroupNames"] = each.groups
    return found | {"parameters": each.parameters} if each.parameters else found


def _absent() -> Fault:
    return Fault("ResourceNotFoundException", "The specified query definition does not exist.")
