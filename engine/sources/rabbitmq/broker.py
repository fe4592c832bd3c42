"""Where a mapping's RabbitMQ broker is, how it is got into, and what it means when that fails."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

from ...aws.clients import Clients
from ...aws.names import Place
from .. import brokers, words
from ..secrets import login, secret
from ..settings import Settings

ACTIVEMQ = "ActiveMQ brokers are not supported as event sources here: only RabbitMQ brokers are."


def vhost(settings: Settings) -> str:
    return dict(settings.access).get("VIRTUAL_HOST", "/")


async def address(clients: Clients, arn: str) -> str:
    """A URL without a user. Raises words.Problem and CallFailed."""
    if url := brokers.named(arn):
        return url
    parts = arn.split(":")
    asked = {"BrokerId": parts[-1]}
    found = await clients.call("mq", "DescribeBroker", asked, Place(parts[3], parts[4]))
    if str(found.get("EngineType", "")).upper() == "ACTIVEMQ":
        raise words.Problem(f"PROBLEM: {ACTIVEMQ}", words.CONFIG)
    for instance in found.get("BrokerInstances") or ():
        for url in instance.get("Endpoints") or ():
            if url.startswith(("amqps://", "amqp://")):
                return str(url)
    raise words.Problem(words.no_source(arn), words.CONFIG)


async def connect(clients: Clients, settings: Settings) -> Any:
    """An aiormq connection. Raises words.Problem, CallFailed, and what `reason` takes."""
    import aiormq
    from yarl import URL

    url = URL(settings.servers[0] if settings.servers else await address(clients, settings.source))
    access = dict(settings.access)
    if "BASIC_AUTH" not in access:
        raise words.Problem(
            "PROBLEM: A secret with a user and a password (BASIC_AUTH) is needed.", words.CONFIG
        )
    user, password = await login(clients, settings, access["BASIC_AUTH"])
    url = url.with_user(user).with_password(password)
    url = url.with_path("/" + quote(vhost(settings), safe=""), encoded=True).with_query(url.query)
    authority = None
    if uri := access.get("SERVER_ROOT_CA_CERTIFICATE"):
        authority = (await secret(clients, settings, uri)).get("certificate")
    secured = ssl.create_default_context(cadata=authority) if url.scheme == "amqps" else None
    properties: Any = {"connection_name": f"stoker-{settings.uuid}"}
    return await aiormq.connect(url, client_properties=properties, context=secured)


def reason(settings: Settings, error: BaseException) -> Exception:
    """What a mapping says of an error of aiormq's."""
    from aiormq import exceptions

    if isinstance(error.__cause__, ssl.SSLCertVerificationError):  # aiormq's has no more than its text
        return words.Problem(words.SERVER_REFUSED, words.AUTHN)
    if isinstance(error, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
        return words.Problem(words.BROKER_REFUSED, words.AUTHN)
    if isinstance(error, exceptions.ChannelNotFoundEntity):
        return no_queue(settings)
    if isinstance(error, exceptions.ConnectionNotAllowed | exceptions.ChannelAccessRefused):
        return words.Problem(f"{words.BROKER_FORBIDS} {error}".rstrip(), words.AUTHZ)
    if isinstance(error, exceptions.AMQPError | OSError | TimeoutError):
        return words.Problem(words.no_connection(str(error) or type(error).__name__))
    return error if isinstance(error, Exception) else ConnectionError(repr(error))


def no_queue(settings: Settings) -> words.Problem:
    where = f"queue {settings.name} in the virtual host {vhost(settings)}"
    return words.Problem(f"PROBLEM: Event source not found: {where} does not exist.", words.CONFIG)
