"""Tags of functions, event source mappings and code signing configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .control import Control, Operation
from .lookup import invalid, not_found
from .names import LATEST

MOST = 50


def check_number(tags: Mapping[str, str]) -> None:
    """Raises Fault for more tags than a resource may have."""
    if len(tags) > MOST:
        raise invalid("Number of tags exceeds resource tag limit.")


class Tags:
    """The operations on tags."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTags": self.list_all}

    def _resource(self, arn: str) -> str:
        """Raises Fault when there is none."""
        state = self._control.state
        kind, _, rest = arn.split(":", 5)[5].partition(":")
        name, _, qualifier = rest.partition(":")
        if kind == "function":
            if qualifier:
                raise invalid(
                    "Tags on function aliases and versions are not supported. Please specify a function ARN."
                )
            self._control.place.parse(arn)
            if state.get("function", name, LATEST) is None:
                raise not_found(f"Function not found: {arn}")
        elif kind == "event-source-mapping":
            if state.get("event-source-mapping", name) is None:
                raise not_found(f"Event source mapping not found: {arn}")
        elif kind == "code-signing-config":
            if state.get("code-signing-config", name) is None:
                raise not_found(
                    "The code signing configuration cannot be found. "
                    f"Check that the provided configuration is not deleted: {arn}."
                )
        else:
            raise not_found(f"Capacity provider not found: {arn}")
        return arn

    def tag(self, request: dict[str, Any]) -> dict[str, Any]:
        state = self._control.state
        arn = self._resource(request["Resource"])
        tags = {**(state.get("tags", arn) or {}), **request["Tags"]}
        if not request["Tags"]:
            raise invalid("An error occurred and the request cannot be processed.")
        check_number(tags)
        self._put(arn, tags)
        return {}

    def _put(self, arn: str, tags: dict[str, str]) -> None:
        """A function with other tags has another revision."""
        control, name = self._control, arn.rsplit(":", 1)[-1]
        with control.state.change() as change:
            if tags:
                change.put("tags", arn, "", tags)
            elif control.state.get("tags", arn) is not None:
                change.delete("tags", arn, "")
            if ":function:" in arn and (record := control.state.get("function", name, LATEST)):
                change.put("function", name, LATEST, {**record, "RevisionId": control.new_id()})

    def untag(self, request: dict[str, Any]) -> dict[str, Any]:
        state = self._control.state
        arn = self._resource(request["Resource"])
        gone = set(request["TagKeys"])
        tags = {name: value for name, value in (state.get("tags", arn) or {}).items() if name not in gone}
        self._put(arn, tags)
        return {}

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = self._resource(request["Resource"])
        return {"Tags": self._control.state.get("tags", arn) or {}}
