"""Layers: versions of code that functions share."""

from __future__ import annotations

from ...durable.state import Record
from . import code as packaged
from .control import Operations, Request, Response
from .lookup import layer_number
from .records import discard
from .responses import changed, not_found, paged, public, timestamp


class Layers(Operations):
    """The operations on layers, but for their permissions."""

    def publish_layer_version(self, request: Request) -> Response:
        name = self._name(request["LayerName"])
        package = packaged.received(self.control, request, request["Content"])
        about = self.state.get("layer-about", name) or {"NextVersion": 1}
        number = about["NextVersion"]
        kept = ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
        record = changed({}, request, kept) | {
            "Content": {"CodeSha256": package.sha256, "CodeSize": package.size},
            "LayerArn": self.place.layer(name),
            "LayerVersionArn": self.place.layer(name, number),
            "Description": request.get("Description", ""),
            "CreatedDate": timestamp(self.control.now()),
            "Version": number,
            "_digest": package.digest,
            "_unzipped": package.unzipped,
        }
        with self.state.change() as change:
            change.put("layer", name, str(number), record)
            change.put("layer-about", name, "", {"NextVersion": number + 1})
        return self._described(name, record)

    def _described(self, name: str, record: Record) -> Response:
        location = f"{self.control.base_url()}/2018-10-31/layers/{name}/code-archive/{record['_digest']}"
        return public({**record, "Content": {"Location": location, **record["Content"]}})

    def _name(self, text: str) -> str:
        """A layer's name from itself or its ARN. Raises Fault for a layer of another region or account."""
        name = text.rsplit(":", 1)[-1]
        if text not in (name, self.place.layer(name)):
            raise not_found("The resource you requested does not exist.")
        return name

    def get_layer_version(self, request: Request) -> Response:
        name = self._name(request["LayerName"])
        return self._version(name, request["VersionNumber"])

    def _version(self, name: str, number: int) -> Response:
        record = self.state.get("layer", name, layer_number(number))
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return self._described(name, record)

    def get_layer_version_by_arn(self, request: Request) -> Response:
        layer, _, number = request["Arn"].rpartition(":")
        return self._version(self._name(layer), int(number))

    def list_layers(self, request: Request) -> Response:
        layers = [
            {"LayerName": name, "LayerArn": self.place.layer(name), "LatestMatchingVersion": versions[0]}
            for name in self.state.owners("layer")
            if (versions := self._matching(name, request))
        ]
        return paged("Layers", layers, request)

    def _matching(self, name: str, request: Request) -> list[Response]:
        """A layer's versions that fit a request, as lists have them, the newest first."""
        versions = self.state.owned("layer", name)
        ordered = [versions[number] for number in sorted(versions, key=int, reverse=True)]
        return [
            {name: value for name, value in public(version).items() if name not in ("Content", "LayerArn")}
            for version in ordered
            if _fits(version, request)
        ]

    def list_layer_versions(self, request: Request) -> Response:
        name = self._name(request["LayerName"])
        return paged("LayerVersions", self._matching(name, request), request)

    def delete_layer_version(self, request: Request) -> Response:
        """The number is not used again, and functions that have the version keep it."""
        name, number = self._name(request["LayerName"]), layer_number(request["VersionNumber"])
        with self.state.change() as change:
            for table in ("layer", "layer-policy"):
                discard(self.state, change, table, name, number)
        return {}


def _fits(record: Record, request: Request) -> bool:
    runtime, architecture = request.get("CompatibleRuntime"), request.get("CompatibleArchitecture")
    return (not runtime or runtime in record.get("CompatibleRuntimes", ())) and (
        not architecture or architecture in record.get("CompatibleArchitectures", ())
    )
