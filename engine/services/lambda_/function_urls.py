"""Function URLs: the configuration of a function's own HTTP address."""

from __future__ import annotations

import secrets
import string
from typing import Any

from ...aws.names import LATEST
from ...durable.state import Record
from .control import Control, Operation
from .lookup import conflict, not_found, page, public, timestamp

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
        name, alias = self._owner(request)
        arn = control.place.function(name, alias or None)
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
            "_id": url_id,
        }
        record |= {member: request[member] for member in ("Cors", "InvokeMode") if request.get(member)}
        with control.state.change() as change:
            change.put("url", name, alias, record)
            change.put("url-id", url_id, "", {"name": name, "qualifier": alias})
        answer = self._changed(record)
        del answer["LastModifiedTime"]
        return answer

    def _owner(self, request: dict[str, Any]) -> tuple[str, str]:
        """The function and alias ("": itself) that are to have a URL. Raises Fault."""
        state = self._control.state
        named = self._control.place.parse(request["FunctionName"], request.get("Qualifier"))
        table, id = ("alias", named.qualifier) if named.qualifier else ("function", LATEST)
        if state.get(table, named.name, id) is None:
            raise not_found("Function does not exist")
        return named.name, named.qualifier or ""

    def _changed(self, record: Record) -> dict[str, Any]:
        """What a change answers: its mode only once one was asked for."""
        return {"FunctionUrl": self._control.function_url(record["_id"]), **public(record)}

    def _answered(self, record: Record) -> dict[str, Any]:
        return {"InvokeMode": "BUFFERED", **self._changed(record)}

    def _found(self, request: dict[str, Any]) -> tuple[str, str, Record]:
        named = self._control.place.parse(request["FunctionName"], request.get("Qualifier"))
        record = self._control.state.get("url", named.name, named.qualifier or "")
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return named.name, named.qualifier or "", record

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._answered(self._found(request)[2])

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        self._owner(request)
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
        return self._changed(new)

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name, alias, record = self._found(request)
        with self._control.state.change() as change:
            change.delete("url", name, alias)
            change.delete("url-id", record["_id"], "")
        return {}

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        named = self._control.place.parse(request["FunctionName"])
        if self._control.state.get("function", named.name, LATEST) is None:
            raise not_found("Function does not exist")
        records = self._control.state.owned("url", named.name)
        some, more = page([self._answered(records[alias]) for alias in sorted(records)], request)
        return {"FunctionUrlConfigs": some, **more}
