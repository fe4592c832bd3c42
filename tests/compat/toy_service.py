"""A server with a service of its own beside the engine's: notes, in each of AWS's protocols, from a botocore model.

python toy_service.py STATE [CREDENTIALS]. Prints its URL as `stoker serve` does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from botocore.model import ServiceModel

from engine.aws.faults import Fault
from engine.aws.model import Model
from engine.aws.service import Caller, ModelService
from engine.http.options import Options
from engine.http.server import Server

PROTOCOLS = ("rest-json", "json", "query")


def described(protocol: str) -> dict[str, Any]:
    """The model, as botocore's files have it."""
    name = f"notes{protocol.replace('-', '')}"
    label = {"location": "uri", "locationName": "Name"} if protocol == "rest-json" else {}
    target = {"jsonVersion": "1.1", "targetPrefix": f"{name}_20260101"} if protocol == "json" else {}
    http = {"method": "POST", "requestUri": "/"}
    paths = {"PutNote": {"method": "PUT", "requestUri": "/2026-01-01/notes/{Name}"},
             "GetNote": {"method": "GET", "requestUri": "/2026-01-01/notes/{Name}"},
             "DropNote": {"method": "DELETE", "requestUri": "/2026-01-01/notes/{Name}"}}  # fmt: skip
    wrapped = {"query": True}.get(protocol, False)
    return {
        "version": "2.0",
        "metadata": {
            "apiVersion": "2026-01-01", "endpointPrefix": name, "protocol": protocol, "protocols": [protocol],
            "serviceFullName": "Notes", "serviceId": name, "signatureVersion": "v4", "signingName": name,
            "uid": f"{name}-2026-01-01", "xmlNamespace": "https://notes.example/", **target,
        },
        "operations": {
            name: {
                "name": name, "http": paths[name] if protocol == "rest-json" else http,
                "input": {"shape": f"{name}Request"}, "errors": [{"shape": "NoSuchNote"}],
                "output": {"shape": "Note", **({"resultWrapper": f"{name}Result"} if wrapped else {})},
            }
            for name in paths
        },
        "shapes": {
            "Name": {"type": "string", "max": 8, "min": 1, "pattern": "[a-z]+"},
            "Text": {"type": "string"}, "Count": {"type": "integer", "max": 3}, "When": {"type": "timestamp"},
            "Tags": {"type": "list", "member": {"shape": "Text"}},
            "Labels": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
            "PutNoteRequest": {
                "type": "structure", "required": ["Name", "Text"],
                "members": {"Name": {"shape": "Name", **label}, "Text": {"shape": "Text"}, "Count": {"shape": "Count"},
                            "Tags": {"shape": "Tags"}, "Labels": {"shape": "Labels"}, "When": {"shape": "When"}},
            },
            **{f"{verb}NoteRequest": {"type": "structure", "required": ["Name"],
                                      "members": {"Name": {"shape": "Name", **label}}} for verb in ("Get", "Drop")},
            "Note": {
                "type": "structure",
                "members": {"Text": {"shape": "Text"}, "Count": {"shape": "Count"}, "Tags": {"shape": "Tags"},
                            "Labels": {"shape": "Labels"}, "When": {"shape": "When"}, "Owner": {"shape": "Text"}},
            },
            "NoSuchNote": {"type": "structure", "exception": True, "members": {"message": {"shape": "Text"}},
                           "error": {"code": "NoSuchNote", "httpStatusCode": 404, "senderFault": True}},
        },
    }  # fmt: skip


class Notes(ModelService):
    """Keeps notes of each account and region."""

    def __init__(self, protocol: str) -> None:
        model = described(protocol)
        name = model["metadata"]["signingName"]
        super().__init__(Model(ServiceModel(model, name)), {"PutNote": self.put, "GetNote": self.get})
        self.notes: dict[tuple[Any, str], dict[str, Any]] = {}

    def put(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        self.notes[caller.place, members["Name"]] = members
        return self.get(members, caller)

    def get(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        note = self.notes.get((caller.place, members["Name"]))
        if note is None:
            raise Fault("NoSuchNote", f"There is no note {members['Name']}")
        return {
            **{name: note.get(name) for name in ("Text", "Count", "Tags", "Labels", "When")},
            "Owner": caller.key,
        }


if __name__ == "__main__":
    state, *auth = map(Path, sys.argv[1:])
    options = Options(port=0, state=state, auth=auth[0] if auth else None)
    Server(options, [Notes(protocol) for protocol in PROTOCOLS]).run(
        lambda server: print(f"serving on {server.url}", flush=True)
    )
