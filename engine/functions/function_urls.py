"""Function URLs: the configuration of a function's own HTTP address."""

from __future__ import annotations

import secrets
import string
from typing import Any

from .control import Control, Operation
from .lookup import conflict, latest, not_found, page, public, timestamp, version
from .names import LATEST
from .state import Record

_LETTERS = string.ascii_lowercase + "234567"
_ID = 32


class FunctionUrls:
    """The operations on function URLs. A record's id is its alias, or "" for the function itself."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateFunctionUrlConfig": self.create,
            "GetFunctionUrlConfig": self.get,
            "UpdateFunctionUrlConfig": self.update,
            "DeleteFunctionUrlConfig": self.delete,
            "ListFunctionUrlConfigs": self.list_all,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, _ = version(control, request)
        name, alias = named.name, named.qualifier or ""
        arn = control.place.function(name, named.qualifier)
        if alias == LATEST or alias.isdigit():
            raise not_found(f"Function not found: {arn}")
        if control.state.get("url", name, alias) is not None:
            raise conflict(
                f"Failed to create function url config for [functionArn = {arn}]. "
                "Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        url_id = "".join(secrets.choice(_LETTERS) for _ in range(_ID))
        now = timestamp(control.now())
        record: Record = {
            "FunctionArn": arn,
            "AuthType": request["AuthType"],
            "CreationTime": now,
            "LastModifiedTime": now,
            "InvokeMode": request.get("InvokeMode") or "BUFFERED",
            "_id": url_id,
        }
        if request.get("Cors"):
            record["Cors"] = request["Cors"]
        with control.state.change() as change:
            change.put("url", name, alias, record)
            change.put("url-id", url_id, "", {"name": name, "qualifier": alias})
        return {
            member: value for member, value in self._answered(record).items() if member != "LastModifiedTime"
        }

    def _answered(self, record: Record) -> dict[str, Any]:
        return {"FunctionUrl": self._control.function_url(record["_id"]), **public(record)}

    def _found(self, request: dict[str, Any]) -> tuple[str, str, Record]:
        named = self._control.place.parse(request["FunctionName"], request.get("Qualifier"))
        record = self._control.state.get("url", named.name, named.qualifier or "")
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return named.name, named.qualifier or "", record

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._answered(self._found(request)[2])

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        name, alias, record = self._found(request)
        new = dict(record)
        for member in ("AuthType", "InvokeMode"):
            if request.get(member):
                new[member] = request[member]
        if request.get("Cors") is not None:
            new.pop("Cors", None)
            if request["Cors"]:
                new["Cors"] = request["Cors"]
        new["LastModifiedTime"] = timestamp(self._control.now())
        with self._control.state.change() as change:
            change.put("url", name, alias, new)
        return self._answered(new)

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name, alias, record = self._found(request)
        with self._control.state.change() as change:
            change.delete("url", name, alias)
            change.delete("url-id", record["_id"], "")
        return {}

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        named, _ = latest(self._control, request)
        records = self._control.state.owned("url", named.name)
        some, more = page([self._answered(records[alias]) for alias in sorted(records)], request)
        return {"FunctionUrlConfigs": some, **more}
