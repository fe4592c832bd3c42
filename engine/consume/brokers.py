"""How Kafka and RabbitMQ are read and entered: the members of a mapping's settings, with secrets that are given instead
of named."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import InvalidConfiguration
from .origins import Source

LIBRARIES = {"kafka": "aiokafka", "rabbitmq": "aiormq"}
_PACKAGES = {"aiormq": "aio-pika"}
_TYPES = {
    "PLAIN": "BASIC_AUTH",
    "SCRAM-SHA-256": "SASL_SCRAM_256_AUTH",
    "SCRAM-SHA-512": "SASL_SCRAM_512_AUTH",
}
_LOGIN, _AUTHORITY, _CLIENT = "login", "authority", "client"  # what the secrets are called here


def members(source: Source) -> tuple[str, dict[str, Any]]:
    """What tells it from others, and the settings' members. A cluster's servers come and go: a group that was named
    after them would begin again. Raises InvalidConfiguration: the client library is not installed, a file is wrong."""
    library = LIBRARIES[source.kind]
    if importlib.util.find_spec(library) is None:
        package = _PACKAGES.get(library, library)
        raise InvalidConfiguration(f'{package} is not installed: pip install "stoker[{source.kind}]"')
    options = source.options
    if source.kind == "rabbitmq":
        found = _rabbitmq(options)
        return found["source"], found
    return f"kafka:{options['Topic']}:{options.get('Group', '')}", _kafka(options)


def _kafka(options: Mapping[str, Any]) -> dict[str, Any]:
    access, secrets = _authority(options)
    if sasl := options.get("Sasl"):
        access[_TYPES[sasl]] = _LOGIN
        secrets[_LOGIN] = {"username": options["Username"], "password": options["Password"]}
    if path := options.get("CertFile"):
        access["CLIENT_CERTIFICATE_TLS_AUTH"] = _CLIENT
        secrets[_CLIENT] = _client(path, options["KeyFile"], options.get("KeyPassword", ""))
    return {
        "source": "", "name": options["Topic"], "servers": tuple(options["Servers"]), "tls": options.get("Tls"),
        "access": tuple(access.items()), "secrets": secrets,
    }  # fmt: skip


def _rabbitmq(options: Mapping[str, Any]) -> dict[str, Any]:
    parts = urlsplit(options["Url"])
    access, secrets = _authority(options)
    access["BASIC_AUTH"], access["VIRTUAL_HOST"] = _LOGIN, unquote(parts.path[1:]) or "/"
    user, password = parts.username or "guest", parts.password or ("" if parts.username else "guest")
    secrets[_LOGIN] = {"username": unquote(user), "password": unquote(password)}
    place = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
    where = f"{place}/{parts.path[1:] or '%2F'}/{options['Queue']}"
    return {
        "source": f"arn:aws-stoker:rabbitmq:::{where}", "name": options["Queue"],
        "servers": (parts._replace(netloc=parts.netloc.rpartition("@")[2], path="").geturl(),),
        "access": tuple(access.items()), "secrets": secrets,
    }  # fmt: skip


def _authority(options: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Mapping[str, str]]]:
    path = options.get("CaFile")
    if path is None:
        return {}, {}
    text = _read("ca_file", path)
    try:
        if not text.strip():
            raise ValueError
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise InvalidConfiguration(f"ca_file={path!r}: certificates in PEM") from None
    return {"SERVER_ROOT_CA_CERTIFICATE": _AUTHORITY}, {_AUTHORITY: {"certificate": text}}


def _client(certificate: str, key: str, password: str) -> Mapping[str, str]:
    found = {"certificate": _read("cert_file", certificate), "privateKey": _read("key_file", key)}
    try:
        ssl.create_default_context().load_cert_chain(certificate, key, lambda: password)
    except (ssl.SSLError, ValueError, OSError):
        files = f"cert_file={certificate!r}, key_file={key!r}"
        raise InvalidConfiguration(
            f"{files}: a certificate and its key in PEM, with its key_password"
        ) from None
    return {**found, "privateKeyPassword": password}


def _read(name: str, path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise InvalidConfiguration(f"{name}={path!r}: {error.strerror}") from None
