"""OpenAPI documents with API Gateway's extensions: read, and what their parts have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..apigatewayv2.faults import bad

PREFIX = "x-amazon-apigateway-"
ANY = f"{PREFIX}any-method"
NONE = "NONE"  # a security scheme by which AWS SAM says that there is none
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_DEPTH = 50
Json = dict[str, Any]


class Document:
    """A document's parts, whatever version of OpenAPI (2 is Swagger's) it is. Raises Fault: it is none."""

    def __init__(self, text: str | bytes) -> None:
        self.root = _loaded(text)
        version = str(self.root.get("openapi") or self.root.get("swagger") or "")
        if not isinstance(self.root.get("paths", {}), dict) or version[:2] not in ("2.", "3.", "2", "3"):
            raise bad("Invalid OpenAPI input: neither 'openapi' nor 'swagger' names a version that is known")
        self.version = int(version[0])
        if not isinstance(self.root.get("info", {}), dict):
            raise bad("Invalid OpenAPI input: 'info' is no object")

    @property
    def info(self) -> Json:
        found: Json = self.root.get("info") or {}
        return found

    def extension(self, name: str) -> Any:
        """Of the document as a whole."""
        return self.root.get(PREFIX + name)

    def schemes(self) -> Json:
        """The security schemes, by name."""
        found = self.root.get("securityDefinitions")
        if self.version == 3:
            found = (self.root.get("components") or {}).get("securitySchemes")
        return {name: scheme for name, scheme in (found or {}).items() if isinstance(scheme, dict)}

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Path, method (upper case, "ANY" for every one) and the operation."""
        for path, item in (self.root.get("paths") or {}).items():
            for name, operation in self.resolved(item).items():
                if name in METHODS or name == ANY:
                    yield path, "ANY" if name == ANY else name.upper(), self.resolved(operation)

    def resolved(self, part: Any) -> Json:
        """An object, or the one that its $ref means. Raises Fault."""
        for _ in range(_DEPTH):
            if not isinstance(part, dict):
                raise bad("Invalid OpenAPI input: an object was expected")
            if "$ref" not in part:
                return part
            part = self._at(str(part["$ref"]))
        raise bad("Invalid OpenAPI input: a reference leads to itself")

    def _at(self, reference: str) -> Any:
        found: Any = self.root
        for step in reference.removeprefix("#/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not reference.startswith("#/") or not isinstance(found, dict) or name not in found:
                raise bad(f"Unable to find the reference {reference}")
            found = found[name]
        return found

    def security(self, operation: Mapping[str, Any]) -> dict[str, list[str]]:
        """The schemes that an operation asks for, with their scopes."""
        found = operation.get("security", self.root.get("security")) or []
        merged: dict[str, list[str]] = {}
        for each in found:
            if isinstance(each, dict):
                merged |= {name: list(scopes or []) for name, scopes in each.items()}
        return merged

    def base_path(self) -> str:
        """ "" or "/v1"."""
        if self.version == 2:
            return str(self.root.get("basePath") or "").rstrip("/")
        servers = self.root.get("servers") or [{}]
        server = servers[0] if isinstance(servers[0], dict) else {}
        url = str(server.get("url") or "")
        for name, variable in (server.get("variables") or {}).items():
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")).strip("/"))
        path = url.partition("://")[2].partition("/")[2] if "://" in url else url
        return f"/{path.strip('/')}" if path.strip("/") else ""

    def tags(self) -> dict[str, str]:
        """The API's tags, which documents have among their own."""
        name = f"{PREFIX}tag-value"
        found = self.root.get("tags") or []
        return {
            str(each["name"]): str(each[name]) for each in found if isinstance(each, dict) and name in each
        }


def _loaded(text: str | bytes) -> Json:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        import yaml

        try:
            found = yaml.safe_load(text)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise bad(f"Unable to parse API definition because of a malformed document: {error}") from None
    if not isinstance(found, dict):
        raise bad("Unable to parse API definition because of a malformed document")
    return found
