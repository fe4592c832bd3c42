"""What a mapping's SourceAccessConfigurations name in Secrets Manager: users and passwords, certificates."""

from __future__ import annotations

from collections.abc import Mapping

from .. import wire
from ..aws.clients import CallFailed, Clients
from ..aws.names import Place
from . import words


async def secret(clients: Clients, place: Place, uri: str) -> Mapping[str, str]:
    """Its members. place: of one that is named without an ARN. Raises words.Problem."""
    parts = uri.split(":")
    if len(parts) > 5:
        place = Place(parts[3], parts[4])
    try:
        found = await clients.call("secretsmanager", "GetSecretValue", {"SecretId": uri}, place)
    except CallFailed as failed:
        raise words.no_secret(uri, str(failed)) from failed
    try:
        members = wire.decode((found.get("SecretString") or "").encode())
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise words.no_secret(uri, "Its value is not a JSON object.")
    return {str(name): str(value) for name, value in members.items() if value is not None}


async def login(clients: Clients, place: Place, uri: str) -> tuple[str, str]:
    """A user and a password. Raises words.Problem."""
    found = await secret(clients, place, uri)
    if "username" not in found or "password" not in found:
        raise words.no_secret(uri, "It needs a username and a password.")
    return found["username"], found["password"]
