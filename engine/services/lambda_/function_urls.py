"""Function URLs: the configuration of a function's own HTTP address."""

from __future__ import annotations

import secrets
import string

from ...aws.names import LATEST
from ...durable.state import Record
from .control import Operations, Request, Response
from .lookup import latest, name_of
from .responses import changed, conflict, not_found, paged, public, timestamp

_LETTERS = string.ascii_lowercase + "234567"
_ID = 32
_NO_FUNCTION = "Function does not exist"


class FunctionUrls(Operations):
    """The operations on function URLs. A record's id is its alias, or "" for the function itself."""

    def create_function_url_config(self, request: Request) -> Response:
        name, alias = self._owner(request)
        arn = self.place.function(name, alias or None)
        if self.state.get("url", name, alias) is not None:
            raise conflict(
                f"Failed to create function url config for [functionArn = {arn}]. "
                "Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        url_id = "".join(secrets.choice(_LETTERS) for _ in range(_ID))
        now = timestamp(self.control.now())
        record = changed({}, request, ("AuthType", "InvokeMode"), ("Cors",)) | {
            "FunctionArn": arn,
            "CreationTime": now,
            "LastModifiedTime": now,
            "_id": url_id,
        }
        with self.state.change() as change:
            change.put("url", name, alias, record)
            change.put("url-id", url_id, "", {"name": name, "qualifier": alias})
        response = self._changed(record)
        del response["LastModifiedTime"]
        return response

    def _owner(self, request: Request) -> tuple[str, str]:
        """The function and alias ("": itself) that are to have a URL. Raises Fault."""
        name = name_of(self.control, request)
        table, id = ("alias", name.qualifier) if name.qualifier else ("function", LATEST)
        if self.state.get(table, name.name, id) is None:
            raise not_found(_NO_FUNCTION)
        return name.name, name.qualifier or ""

    def _changed(self, record: Record) -> Response:
        """A change's response: with InvokeMode only once a request has set one."""
        return {"FunctionUrl": self.control.function_url(record["_id"]), **public(record)}

    def _described(self, record: Record) -> Response:
        return {"InvokeMode": "BUFFERED", **self._changed(record)}

    def _found(self, request: Request) -> tuple[str, str, Record]:
        name = name_of(self.control, request)
        record = self.state.get("url", name.name, name.qualifier or "")
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return name.name, name.qualifier or "", record

    def get_function_url_config(self, request: Request) -> Response:
        return self._described(self._found(request)[2])

    def update_function_url_config(self, request: Request) -> Response:
        self._owner(request)
        name, alias, record = self._found(request)
        new = changed(record, request, ("AuthType", "InvokeMode"), ("Cors",))
        new["LastModifiedTime"] = timestamp(self.control.now())
        self.put("url", name, alias, new)
        return self._changed(new)

    def delete_function_url_config(self, request: Request) -> Response:
        name, alias, record = self._found(request)
        with self.state.change() as change:
            change.delete("url", name, alias)
            change.delete("url-id", record["_id"], "")
        return {}

    def list_function_url_configs(self, request: Request) -> Response:
        name, _ = latest(self.control, request, _NO_FUNCTION)
        records = self.state.owned("url", name.name)
        return paged("FunctionUrlConfigs", [self._described(records[id]) for id in sorted(records)], request)
