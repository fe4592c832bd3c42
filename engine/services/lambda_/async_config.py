"""Asynchronous invocation's configuration: retries, age, and where results go."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...aws.names import LATEST
from ...durable.state import Record
from .control import Operations, Request, Response
from .lookup import existing, latest, name_of
from .responses import changed, invalid, not_found, paged, public

_WHERE = r"[a-z0-9-]+:\d{12}"
_ARN = (
    rf"arn:aws[a-z-]*:(sqs:{_WHERE}:[a-zA-Z0-9_-]{{1,80}}(\.fifo)?|sns:{_WHERE}:[a-zA-Z0-9_-]{{1,256}}(\.fifo)?"
    rf"|lambda:{_WHERE}:function:[a-zA-Z0-9-_]+(:[a-zA-Z0-9-_$]+)?|events:{_WHERE}:event-bus/[/.\-_A-Za-z0-9]{{1,256}})"
)
# S3 takes only what failed.
_DESTINATIONS = {
    "OnSuccess": re.compile(_ARN),
    "OnFailure": re.compile(_ARN + r"|arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
}
_NO_FUNCTION = "The function doesn't exist."


class AsyncConfig(Operations):
    """The operations on EventInvokeConfigs. A record's id is a version, an alias, or $LATEST."""

    def put_function_event_invoke_config(self, request: Request) -> Response:
        settings = _settings(request)
        name, _ = existing(self.control, request, _NO_FUNCTION)
        return self._store(name.name, name.qualifier or LATEST, {}, settings)

    def update_function_event_invoke_config(self, request: Request) -> Response:
        settings = _settings(request)
        existing(self.control, request, _NO_FUNCTION)
        name, qualifier, record = self._found(request)
        return self._store(name, qualifier, record, settings)

    def _found(self, request: Request) -> tuple[str, str, Record]:
        name = name_of(self.control, request)
        qualifier = name.qualifier or LATEST
        record = self.state.get("invoke-config", name.name, qualifier)
        if record is None:
            arn = self.place.function(name.name, qualifier)
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
        return name.name, qualifier, record

    def _store(self, name: str, qualifier: str, before: Record, settings: Record) -> Response:
        self._check(name, settings.get("DestinationConfig") or {})
        record = {
            "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
            **before,
            **settings,
            "FunctionArn": self.place.function(name, qualifier),
            "LastModified": round(self.control.now(), 3),
        }
        self.put("invoke-config", name, qualifier, record)
        return public(record)

    def _check(self, name: str, destinations: Mapping[str, Mapping[str, str]]) -> None:
        for kind, destination in destinations.items():
            arn = destination.get("Destination")
            if not arn:
                continue
            if not _DESTINATIONS[kind].fullmatch(arn):
                printed = ", ".join(_printed(half, destinations[half]) for half in _DESTINATIONS)
                raise invalid(f"The provided destination config DestinationConfig({printed}) is invalid.")
            _, _, service, region, account, *_ = arn.split(":")
            if service != "s3" and region != self.place.region:
                raise invalid(f"The destination ARN {arn} is invalid.")
            if service == "lambda" and account == self.place.account:
                target = arn.split(":function:", 1)[-1].partition(":")[0]
                if target == name:
                    raise invalid("You can't specify the function as a destination for itself.")
                if self.state.get("function", target, LATEST) is None:
                    raise invalid(f"The destination ARN {arn} is invalid.")
            if not self.control.exists(arn):
                raise invalid(f"The destination ARN {arn} is invalid.")

    def get_function_event_invoke_config(self, request: Request) -> Response:
        return public(self._found(request)[2])

    def list_function_event_invoke_configs(self, request: Request) -> Response:
        name, _ = latest(self.control, request, _NO_FUNCTION)
        records = self.state.owned("invoke-config", name.name)
        return paged("FunctionEventInvokeConfigs", [public(records[q]) for q in sorted(records)], request)

    def delete_function_event_invoke_config(self, request: Request) -> Response:
        name, qualifier, _ = self._found(request)
        self.discard("invoke-config", name, qualifier)
        return {}


def _settings(request: Request) -> Record:
    """What a request sets. Raises Fault when that is nothing."""
    settings = changed({}, request, ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"))
    if (destinations := request.get("DestinationConfig")) is not None:
        settings["DestinationConfig"] = {
            kind: {"Destination": arn} if (arn := (destinations.get(kind) or {}).get("Destination")) else {}
            for kind in _DESTINATIONS
        }
    if not settings:
        raise invalid("You must specify at least one of error handling or destination setting.")
    return settings


def _printed(kind: str, destination: Mapping[str, str]) -> str:
    """One half of a DestinationConfig as AWS prints it."""
    value = f"{kind}(destination={destination['Destination']})" if destination else "null"
    return f"{kind[0].lower()}{kind[1:]}={value}"
