"""What a mapping's SourceAccessConfigurations name: users and passwords, certificates; in Secrets Manager, or in its
settings."""

from __future__ import annotations

from collections.abc import Mapping

from .. import wire
from ..aws.clients import CallFailed, Clients
from ..aws.names import Place
from . import words
from .settings import Settings


async def secret(clients: Clients, settings: Settings, uri: str) -> Mapping[str, str]:
    """Its members; of one that is named without an ARN, in the mapping's place. Raises words.Problem."""
    if (given := settings.secrets.get(uri)) is not None:
        return given
    parts = uri.split(":")
    place = Place(parts[3], parts[4]) if len(parts) > 5 else settings.place
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


async def login(clients: Clients, settings: Settings, uri: str) -> tuple[str, str]:
    """A user and a password. Raises words.Problem."""
    found = await secret(clients, settings, uri)
    if "username" not in found or "password" not in found:
        raise words.no_secret(uri, "It needs a username and a password.")
    return found["username"], found["password"]
