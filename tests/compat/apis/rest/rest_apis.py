"""REST APIs as the tests make them."""

from __future__ import annotations

from typing import Any

from apis import send
from served import REGION, Served


def uri(arn: str) -> str:
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"


class Api:
    """A new REST API."""

    def __init__(self, client: Any, **more: Any) -> None:
        self.client = client
        made = client.create_rest_api(name="a", **more)
        self.id, self.root = made["id"], made["rootResourceId"]
        self.resources = {"": self.root}

    def resource(self, path: str) -> str:
        """Its id; made with what is above it."""
        if path not in self.resources:
            above, _, part = path.rpartition("/")
            made = self.client.create_resource(
                restApiId=self.id, parentId=self.resource(above), pathPart=part
            )
            assert made["path"] == path
            self.resources[path] = made["id"]
        return self.resources[path]

    def method(self, path: str, verb: str, target: str = "", **more: Any) -> None:
        """target: an integration's URI; "": it is a mock."""
        at = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": verb}
        self.client.put_method(**at, **{"authorizationType": "NONE", **more})
        kind = "AWS_PROXY" if target.startswith("arn:") else "HTTP_PROXY" if target else "MOCK"
        given = {"uri": target, "integrationHttpMethod": "POST"} if target else {}
        self.client.put_integration(**at, type=kind, **given)

    def deploy(self, stage: str = "prod", **more: Any) -> str:
        return str(self.client.create_deployment(restApiId=self.id, stageName=stage, **more)["id"])


def asked(server: Served, api: Api, path: str, *more: Any, **others: Any) -> tuple[int, Any]:
    reply = send(server, api.id, path, *more, **others)
    return reply.status, reply.json
