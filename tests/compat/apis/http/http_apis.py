"""HTTP APIs as the tests make them, and what they lead to."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from joserfc.jwk import RSAKey


def made(client: Any, target: str, *keys: str, version: str = "2.0", **more: Any) -> str:
    """An API with a stage $default that deploys by itself, and routes to one integration. Its id."""
    api_id = str(client.create_api(Name="a", ProtocolType="HTTP", **more)["ApiId"])
    client.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    routed(client, api_id, target, *keys, version=version)
    return api_id


def routed(client: Any, api_id: str, target: str, *keys: str, version: str = "2.0", **route: Any) -> str:
    """The integration's id."""
    kind = {"IntegrationType": "AWS_PROXY"} if target.startswith("arn:") else {
        "IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY"
    }  # fmt: skip
    integration = client.create_integration(
        ApiId=api_id, IntegrationUri=target, PayloadFormatVersion=version, **kind
    )["IntegrationId"]
    for key in keys:
        client.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integration}", **route)
    return str(integration)


class Provider(BaseHTTPRequestHandler):
    """An identity provider, and a backend that says what it got."""

    key = RSAKey.generate_key(2048, parameters={"kid": "k1"})

    def do_GET(self) -> None:
        base = f"http://{self.headers['Host']}"
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {"issuer": base, "jwks_uri": f"{base}/keys"},
            "/keys": {"keys": [self.key.as_dict(private=False)]},
        }
        length = int(self.headers.get("content-length") or 0)
        got: dict[str, Any] = {"method": self.command, "path": self.path, "headers": dict(self.headers)}
        got["body"] = self.rfile.read(length).decode()
        body = json.dumps(documents.get(self.path, got)).encode()
        self.send_response(200 if self.path in documents else 202)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Backend", "yes")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        pass
