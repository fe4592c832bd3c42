"""Layers: versions of code that functions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...durable.state import Record
from . import code as packaged
from .control import Control, Operation
from .lookup import invalid, not_found, page, public, timestamp


class Layers:
    """The operations on layers, but for their permissions."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "PublishLayerVersion": self.publish,
            "GetLayerVersion": self.get,
            "GetLayerVersionByArn": self.by_arn,
            "ListLayers": self.list_all,
            "ListLayerVersions": self.versions,
            "DeleteLayerVersion": self.delete,
        }

    def publish(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name = self._name(request["LayerName"])
        package = packaged.received(control, request["Content"])
        about = control.state.get("layer-about", name) or {"NextVersion": 1}
        number = about["NextVersion"]
        record: Record = {
            "Content": {"CodeSha256": package.sha256, "CodeSize": package.size},
            "LayerArn": control.place.layer(name),
            "LayerVersionArn": control.place.layer(name, number),
            "Description": request.get("Description", ""),
            "CreatedDate": timestamp(control.now()),
            "Version": number,
            "_digest": package.digest,
            "_unzipped": package.unzipped,
        }
        for member in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"):
            if request.get(member) is not None:
                record[member] = request[member]
        with control.state.change() as change:
            change.put("layer", name, str(number), record)
            change.put("layer-about", name, "", {"NextVersion": number + 1})
        return self._whole(name, record)

    def _whole(self, name: str, record: Record) -> dict[str, Any]:
        location = f"{self._control.base_url()}/2018-10-31/layers/{name}/code-archive/{record['_digest']}"
        return public({**record, "Content": {"Location": location, **record["Content"]}})

    def _name(self, text: str) -> str:
        """A layer's name from itself or its ARN. Raises Fault for a layer of another region or account."""
        name = text.rsplit(":", 1)[-1]
        if text not in (name, self._control.place.layer(name)):
            raise not_found("The resource you requested does not exist.")
        return name

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        name = self._name(request["LayerName"])
        return self._whole(name, self._version(name, request["VersionNumber"]))

    def _version(self, name: str, number: int) -> Record:
        if number < 1:
            raise invalid("Layer Version Cannot be less than 1")
        record = self._control.state.get("layer", name, str(number))
        if record is None:
            raise not_found("The resource you requested does not exist.")
        return record

    def by_arn(self, request: dict[str, Any]) -> dict[str, Any]:
        layer, _, number = request["Arn"].rpartition(":")
        name = self._name(layer)
        return self._whole(name, self._version(name, int(number)))

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        found = []
        for name in control.state.owners("layer"):
            versions = [v for v in self._ordered(name) if _fits(v, request)]
            if versions:
                found.append(
                    {
                        "LayerName": name,
                        "LayerArn": control.place.layer(name),
                        "LatestMatchingVersion": _listed(versions[0]),
                    }
                )
        some, more = page(found, request)
        return {"Layers": some, **more}

    def _ordered(self, name: str) -> list[Record]:
        versions = self._control.state.owned("layer", name)
        return [versions[n] for n in sorted(versions, key=int, reverse=True)]

    def versions(self, request: dict[str, Any]) -> dict[str, Any]:
        name = self._name(request["LayerName"])
        some, more = page([_listed(v) for v in self._ordered(name) if _fits(v, request)], request)
        return {"LayerVersions": some, **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its number is not given again, and functions that have it keep it."""
        state = self._control.state
        name, number = self._name(request["LayerName"]), str(request["VersionNumber"])
        if request["VersionNumber"] < 1:
            raise invalid("Layer Version Cannot be less than 1")
        with state.change() as change:
            for table in ("layer", "layer-policy"):
                if state.get(table, name, number) is not None:
                    change.delete(table, name, number)
        return {}


def _listed(record: Record) -> dict[str, Any]:
    return {name: value for name, value in public(record).items() if name not in ("Content", "LayerArn")}


def _fits(record: Record, request: Mapping[str, Any]) -> bool:
    runtime, architecture = request.get("CompatibleRuntime"), request.get("CompatibleArchitecture")
    return (not runtime or runtime in record.get("CompatibleRuntimes", ())) and (
        not architecture or architecture in record.get("CompatibleArchitectures", ())
    )
