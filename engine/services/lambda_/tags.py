"""Tags of functions, event source mappings and code signing configurations."""

from __future__ import annotations

from collections.abc import Mapping

from ...aws.names import LATEST
from .control import Operations, Request, Response
from .lookup import NO_SIGNING_CONFIG, latest
from .records import discard
from .responses import invalid, not_found

MOST = 50
# By what an ARN calls the resource, which is its table's name, too. There are none of the last two.
_MISSING = {
    "event-source-mapping": "Event source mapping not found: {}",
    "code-signing-config": NO_SIGNING_CONFIG,
    "capacity-provider": "Capacity provider not found: {}",
    "network-connector": "Network connector not found: {}",
}


def check_number(tags: Mapping[str, str]) -> None:
    """Raises Fault for more tags than a resource may have."""
    if len(tags) > MOST:
        raise invalid("Number of tags exceeds resource tag limit.")


class Tags(Operations):
    """The operations on tags."""

    def _resource(self, arn: str) -> str:
        """The ARN that the tags are kept under. Raises Fault when there is no such resource."""
        kind, _, rest = arn.split(":", 5)[5].partition(":")
        name, _, qualifier = rest.partition(":")
        if kind == "function":
            if qualifier:
                raise invalid(
                    "Tags on function aliases and versions are not supported. Please specify a function ARN."
                )
            latest(self.control, {"FunctionName": arn})
            return self.place.function(name)
        if arn != self.place.arn(f"{kind}:{name}") or self.state.get(kind, name) is None:
            raise not_found(_MISSING[kind].format(arn))
        return arn

    def tag_resource(self, request: Request) -> Response:
        arn = self._resource(request["Resource"])
        tags = {**(self.state.get("tags", arn) or {}), **request["Tags"]}
        if not request["Tags"]:
            raise invalid("An error occurred and the request cannot be processed.")
        check_number(tags)
        self._put(arn, tags)
        return {}

    def _put(self, arn: str, tags: dict[str, str]) -> None:
        """A function with other tags has another revision."""
        name = arn.rsplit(":", 1)[-1]
        with self.state.change() as change:
            if tags:
                change.put("tags", arn, "", tags)
            else:
                discard(self.state, change, "tags", arn)
            if ":function:" in arn and (record := self.state.get("function", name, LATEST)):
                change.put("function", name, LATEST, {**record, "RevisionId": self.control.new_id()})

    def untag_resource(self, request: Request) -> Response:
        arn = self._resource(request["Resource"])
        tags = self.state.get("tags", arn) or {}
        self._put(arn, {name: tags[name] for name in tags if name not in request["TagKeys"]})
        return {}

    def list_tags(self, request: Request) -> Response:
        arn = self._resource(request["Resource"])
        return {"Tags": self.state.get("tags", arn) or {}}
