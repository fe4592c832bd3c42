"""Asynchronous invocation's configuration: retries, age, and where results go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.names import LATEST
from ...durable.state import Record
from .control import Control, Operation
from .lookup import invalid, not_found, page, public

# S3 takes only what failed.
_DESTINATIONS = {
    "OnSuccess": re.compile(r"arn:aws[a-z-]*:(sqs|sns|lambda|events):.+"),
    "OnFailure": re.compile(r"arn:aws[a-z-]*:(sqs|sns|lambda|events|s3):.+"),
}


class AsyncConfig:
    """The operations on EventInvokeConfigs. A record's id is a version, an alias, or $LATEST."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "PutFunctionEventInvokeConfig": self.put,
            "UpdateFunctionEventInvokeConfig": self.update,
            "GetFunctionEventInvokeConfig": self.get,
            "ListFunctionEventInvokeConfigs": self.list_all,
            "DeleteFunctionEventInvokeConfig": self.delete,
        }

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        said = _said(request)
        name, qualifier = self._place(request)
        return self._store(name, qualifier, {}, said)

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        said = _said(request)
        self._place(request)
        name, qualifier, record = self._found(request)
        return self._store(name, qualifier, record, said)

    def _place(self, request: dict[str, Any]) -> tuple[str, str]:
        state = self._control.state
        named = self._control.place.parse(request["FunctionName"], request.get("Qualifier"))
        qualifier = named.qualifier or LATEST
        if not state.get("function", named.name, qualifier) and not state.get("alias", named.name, qualifier):
            raise not_found("The function doesn't exist.")
        return named.name, qualifier

    def _found(self, request: dict[str, Any]) -> tuple[str, str, Record]:
        named = self._control.place.parse(request["FunctionName"], request.get("Qualifier"))
        qualifier = named.qualifier or LATEST
        record = self._control.state.get("invoke-config", named.name, qualifier)
        if record is None:
            arn = self._control.place.function(named.name, qualifier)
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
        return named.name, qualifier, record

    def _store(self, name: str, qualifier: str, before: Record, said: Mapping[str, Any]) -> dict[str, Any]:
        control = self._control
        self._check(name, said.get("DestinationConfig") or {})
        record = {
            "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
            **before,
            **said,
            "FunctionArn": control.place.function(name, qualifier),
            "LastModified": round(control.now(), 3),
        }
        with control.state.change() as change:
            change.put("invoke-config", name, qualifier, record)
        return public(record)

    def _check(self, name: str, destinations: Mapping[str, Mapping[str, str]]) -> None:
        control = self._control
        for kind, destination in destinations.items():
            arn = destination.get("Destination")
            if not arn:
                continue
            if not _DESTINATIONS[kind].fullmatch(arn):
                shown = ", ".join(_printed(half, destinations[half]) for half in _DESTINATIONS)
                raise invalid(f"The provided destination config DestinationConfig({shown}) is invalid.")
            if arn.split(":")[2] == "lambda":
                target = arn.split(":function:", 1)[-1].partition(":")[0]
                if target == name:
                    raise invalid("You can't specify the function as a destination for itself.")
                if control.state.get("function", target, LATEST) is None:
                    raise invalid(f"The destination ARN {arn} is invalid.")

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        return public(self._found(request)[2])

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named = control.place.parse(request["FunctionName"])
        if control.state.get("function", named.name, LATEST) is None:
            raise not_found("The function doesn't exist.")
        records = control.state.owned("invoke-config", named.name)
        some, more = page([public(records[q]) for q in sorted(records)], request)
        return {"FunctionEventInvokeConfigs": some, **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name, qualifier, _ = self._found(request)
        with self._control.state.change() as change:
            change.delete("invoke-config", name, qualifier)
        return {}


def _said(request: Mapping[str, Any]) -> Record:
    """What a request sets. Raises Fault when that is nothing."""
    said = {
        m: request[m]
        for m in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")
        if request.get(m) is not None
    }
    if (destinations := request.get("DestinationConfig")) is not None:
        said["DestinationConfig"] = {
            kind: {"Destination": arn} if (arn := (destinations.get(kind) or {}).get("Destination")) else {}
            for kind in _DESTINATIONS
        }
    if not said:
        raise invalid("You must specify at least one of error handling or destination setting.")
    return said


def _printed(kind: str, destination: Mapping[str, str]) -> str:
    """One half of a DestinationConfig as AWS prints it."""
    value = f"{kind}(destination={destination['Destination']})" if destination else "null"
    return f"{kind[0].lower()}{kind[1:]}={value}"
