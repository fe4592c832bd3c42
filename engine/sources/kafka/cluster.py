"""Where a mapping's Kafka cluster is, how it is got into, and what it means when that fails."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...aws.clients import Clients
from .. import brokers, words
from ..secrets import login, secret
from ..settings import Settings
from . import iam

_PATIENCE = 10.0  # seconds that a connection may take
_SASL = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
}
_IAM = "IAM_AUTH"
_OTHER = "PROBLEM: Only SASL/PLAIN, SASL/SCRAM, IAM and TLS client certificates are supported here, not {}."
_PLAINTEXT = "STOKER_KAFKA_PLAINTEXT"  # "1": brokers that ask for a password have no TLS
_LOOPBACK = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True)
class Access:
    """options: what aiokafka's consumers, producers and connections take."""

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


async def find(clients: Clients, settings: Settings) -> Access:
    """Raises words.Problem and CallFailed."""
    access = dict(settings.access)
    for type in access:
        if type.startswith(("OAUTHBEARER", "IAM_OAUTH")):
            raise words.Problem(_OTHER.format(type), words.CONFIG)
    mechanism = next((type for type in (*_SASL, _IAM) if type in access), "")
    tls = bool(access.keys() & {"SERVER_ROOT_CA_CERTIFICATE", "CLIENT_CERTIFICATE_TLS_AUTH"})
    servers = settings.servers
    if settings.source and not (servers := _split(brokers.named(settings.source))):
        servers, mechanism, tls = await _of_aws(clients, settings, mechanism, access)
    elif settings.tls is not None:
        tls = settings.tls
    elif mechanism and not tls:
        tls = os.environ.get(_PLAINTEXT) != "1" and not all(each.startswith(_LOOPBACK) for each in servers)
    options: dict[str, Any] = {
        "security_protocol": ("SASL_" if mechanism else "") + ("SSL" if tls else "PLAINTEXT")
    }
    if mechanism == _IAM:
        options |= iam.options(clients, settings.owner if settings.source else settings.place)
    elif mechanism:
        user, password = await login(clients, settings, access[mechanism])
        options |= {
            "sasl_mechanism": _SASL[mechanism],
            "sasl_plain_username": user,
            "sasl_plain_password": password,
        }
    if tls:
        options["ssl_context"] = await _context(clients, settings, access)
    return Access(servers, options)


def _split(servers: str) -> tuple[str, ...]:
    return tuple(each for each in servers.split(",") if each)


async def _of_aws(
    clients: Clients, settings: Settings, mechanism: str, access: Mapping[str, str]
) -> tuple[tuple[str, ...], str, bool]:
    """The servers of a cluster of AWS's, the mechanism, and have they TLS? What is given a secret for decides; without
    one, the strongest that the cluster has (developer guide, "How Lambda chooses a bootstrap broker")."""
    asked = {"ClusterArn": settings.source}
    found = await clients.call("kafka", "GetBootstrapBrokers", asked, settings.owner)
    if "CLIENT_CERTIFICATE_TLS_AUTH" in access:
        ways = [("Tls", "", True)]
    elif mechanism:
        ways = [("SaslIam" if mechanism == _IAM else "SaslScram", mechanism, True)]
    else:
        ways = [("SaslIam", _IAM, True), ("Tls", "", True), ("", "", False)]
    for kind, chosen, tls in ways:
        for name in (f"BootstrapBrokerString{kind}", f"BootstrapBrokerStringPublic{kind}"):
            if servers := _split(found.get(name) or ""):
                return servers, chosen, tls
    raise words.Problem(words.UNAUTHENTICATED, words.AUTHN)


async def _context(clients: Clients, settings: Settings, access: Mapping[str, str]) -> ssl.SSLContext:
    """Raises words.Problem."""
    authority = None
    if uri := access.get("SERVER_ROOT_CA_CERTIFICATE"):
        authority = (await secret(clients, settings, uri)).get("certificate", "")
    try:
        made = ssl.create_default_context(cadata=authority)
        if uri := access.get("CLIENT_CERTIFICATE_TLS_AUTH"):
            _certify(made, await secret(clients, settings, uri))
    except (ssl.SSLError, ValueError, OSError) as error:
        raise words.Problem(words.CERTIFICATE, words.AUTHN) from error
    return made


def _certify(context: ssl.SSLContext, found: Mapping[str, str]) -> None:
    """OpenSSL reads a certificate only from a file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("certificate", "privateKey")}
        for name, path in paths.items():
            path.touch(mode=0o600)
            path.write_text(found.get(name, ""))
        password = found.get("privateKeyPassword", "")
        context.load_cert_chain(paths["certificate"], paths["privateKey"], lambda: password)


async def leave(consumer: Any) -> None:
    """Give its partitions to other members at once: one with an instance id stays in its group when it stops, and has
    them until its session expires. aiokafka has no public call for it."""
    from aiokafka.protocol.group import LeaveGroupRequest

    coordinator = consumer._coordinator
    await coordinator._send_req(LeaveGroupRequest(coordinator.group_id, coordinator.member_id))


async def stop(consumer: Any, seconds: float) -> None:
    """Without a cluster it ends half way, by a CancelledError of its own: what its client has open is left then."""
    for ending in (consumer.stop(), consumer._client.close()):
        task = asyncio.ensure_future(ending)
        await asyncio.wait((task,), timeout=seconds)
        if not task.cancel() and not task.cancelled():
            task.exception()


async def reason(access: Access, error: Exception) -> Exception:
    """What a mapping says of an error of aiokafka's. Of one of a connection, only a connection of one's own knows
    more."""
    from aiokafka.conn import create_conn
    from aiokafka.errors import KafkaConnectionError, KafkaError

    if isinstance(error, KeyError | ValueError) and "sasl_mechanism" in access.options:
        return _said(error)
    if not isinstance(error, KafkaConnectionError | OSError) and type(error) is not KafkaError:
        return _said(error) if isinstance(error, KafkaError) else error
    for server in access.servers:
        host, _, port = server.rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"), int(port), request_timeout_ms=int(_PATIENCE * 1e3), **access.options
            )
        except (OSError, KafkaError, KeyError, ValueError) as refused:
            found = _said(refused)
            if isinstance(refused, KafkaConnectionError) and "ssl_context" in access.options:
                # It had the connection, and ended it at the first request: so TLS 1.3 refuses a client.
                found = words.Problem(words.CLIENT_REFUSED, words.AUTHN)
            if found.text != words.UNREACHABLE:
                return found
        else:
            connection.close()
    return words.Problem(words.UNREACHABLE)


def _said(error: Exception) -> words.Problem:
    from aiokafka import errors

    if isinstance(error, ssl.SSLCertVerificationError):
        return words.Problem(words.SERVER_REFUSED, words.AUTHN)
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error):
        return words.Problem(words.CLIENT_REFUSED, words.AUTHN)
    if isinstance(error, KeyError | ValueError):  # aiokafka expects no refusal within SCRAM's exchange
        return words.Problem(words.UNAUTHENTICATED, words.AUTHN)
    name = type(error).__name__
    if (
        isinstance(error, errors.AuthenticationFailedError)
        or "Sasl" in name
        or "AuthenticationMethod" in name
    ):
        return words.Problem(words.UNAUTHENTICATED, words.AUTHN)
    if "Authorization" in name:
        return words.Problem(words.UNAUTHORIZED, words.AUTHZ)
    return words.Problem(words.UNREACHABLE)
