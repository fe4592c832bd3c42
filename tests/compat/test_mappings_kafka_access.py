"""Mappings of a Kafka that asks who comes in: SASL, TLS, client certificates; what they say when refused."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from brokered import BrokerFed, secret
from certificates import Authority
from kafka_and_rabbitmq import Kafka, free_port
from kafka_door import Door
from served import REGION, Served
from support import until


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("access") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def secrets(moto: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION, **keys)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


class Behind:
    """Brokers, each with a door and one record in its topic."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.open: list[Any] = []

    def door(self, mechanism: str = "", tls: bool = False, mutual: bool = False) -> str:
        """Its bootstrap server. The password is `right`."""
        context = None
        if tls:
            certificate, key = self.authority.sign("broker")
            paths = [self.folder / name for name in ("certificate", "key", "authority")]
            for path, text in zip(paths, (certificate, key, self.authority.certificate), strict=True):
                path.write_text(text)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(paths[0], paths[1])
            if mutual:
                context.load_verify_locations(paths[2])
                context.verify_mode = ssl.CERT_REQUIRED
        port = free_port()
        kafka = Kafka(advertised=port)
        self.open.append(kafka)
        kafka.start()
        self.open.append(Door(port, kafka.port, mechanism, "right", context))
        return f"127.0.0.1:{port}"

    def close(self) -> None:
        for each in reversed(self.open):
            each.close()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Behind]:
    made = Behind(tmp_path_factory.mktemp("doors"), authority)
    yield made
    made.close()


def fill(servers: str, **access: Any) -> None:
    kafka = Kafka()
    kafka.servers = servers
    kafka.create("topic", **access)
    kafka.put("topic", "1", **access)
    kafka.close()


@pytest.mark.promise(244)
def test_who_may_come_in_comes_in(
    server: Served, behind: Behind, secrets: Any, authority: Authority, name: str
) -> None:
    context = ssl.create_default_context(cadata=authority.certificate)
    root = secret(secrets, f"{name}-root", certificate=authority.certificate)
    certificate, key = authority.sign("client")
    client = secret(secrets, f"{name}-client", certificate=certificate, privateKey=key)
    right = secret(secrets, f"{name}-right", username="u", password="right")
    (behind.folder / "client").write_text(certificate + key)
    context.load_cert_chain(behind.folder / "client")
    tls = {"security_protocol": "SSL", "ssl_context": context}

    def sasl(mechanism: str, over: str = "SASL_PLAINTEXT") -> dict[str, Any]:
        return {
            "security_protocol": over, "sasl_mechanism": mechanism, "sasl_plain_username": "u",
            "sasl_plain_password": "right",
        }  # fmt: skip

    ca = {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": root}
    ways: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = [
        (behind.door("PLAIN"), sasl("PLAIN"), [{"Type": "BASIC_AUTH", "URI": right}]),
        (
            behind.door("SCRAM-SHA-256"),
            sasl("SCRAM-SHA-256"),
            [{"Type": "SASL_SCRAM_256_AUTH", "URI": right}],
        ),
        (
            behind.door("SCRAM-SHA-512", tls=True),
            {**sasl("SCRAM-SHA-512", "SASL_SSL"), "ssl_context": context},
            [{"Type": "SASL_SCRAM_512_AUTH", "URI": right}, ca],
        ),
        (
            behind.door(tls=True, mutual=True),
            tls,
            [{"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": client}, ca],
        ),
    ]
    feds = []
    for servers, access, configurations in ways:
        fill(servers, **access)
        fed = BrokerFed(server, server.log.parent)
        feds.append((fed, fed.topic(servers, "topic", SourceAccessConfigurations=configurations)))
    for fed, uuid in feds:
        fed.wait(1)
        assert fed.texts() == ["1"]
        until(lambda fed=fed, uuid=uuid: fed.result(uuid) == "OK", what="OK")
        fed.drop(uuid)


@pytest.mark.promise(244)
def test_who_may_not_is_told_why_and_comes_in_once_that_is_mended(
    server: Served, behind: Behind, secrets: Any, authority: Authority, name: str
) -> None:
    wrong = secret(secrets, f"{name}-wrong", username="u", password="wrong")
    strange = secret(secrets, f"{name}-strange", certificate=Authority().certificate)
    root = secret(secrets, f"{name}-root", certificate=authority.certificate)
    broken = secret(secrets, f"{name}-broken", certificate="none", privateKey="none")
    foreign, key = Authority().sign("client")
    unknown = secret(secrets, f"{name}-unknown", certificate=foreign, privateKey=key)
    plain, scram = behind.door("PLAIN"), behind.door("SCRAM-SHA-512")
    tls, mutual = behind.door(tls=True), behind.door(tls=True, mutual=True)
    ca = {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": root}
    problems = [
        (plain, [{"Type": "BASIC_AUTH", "URI": wrong}], "SASL authentication failed."),
        (scram, [{"Type": "SASL_SCRAM_512_AUTH", "URI": wrong}], "SASL authentication failed."),
        (
            tls,
            [{"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": strange}],
            "Lambda failed to authenticate server.",
        ),
        (
            tls,
            [{"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": broken}, ca],
            "Provided certificate or private key is invalid.",
        ),
        (
            mutual,
            [{"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": unknown}, ca],
            "Server failed to authenticate Lambda.",
        ),
        (plain, [{"Type": "BASIC_AUTH", "URI": f"{wrong[:-6]}absent"}], "Unable to access the secret"),
    ]
    feds = []
    for servers, configurations, text in problems:
        fed = BrokerFed(server, server.log.parent)
        feds.append((fed, fed.topic(servers, "topic", SourceAccessConfigurations=configurations), text))
    for fed, uuid, text in feds:
        until(lambda fed=fed, uuid=uuid, text=text: text in fed.result(uuid), 60, text)
        assert fed.result(uuid).startswith("PROBLEM: ")
        assert fed.get(uuid)["StateTransitionReason"] == "EVENT_SOURCE_AUTHN_ERROR"
        assert fed.get(uuid)["State"] == "Enabled"
    access = {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u",
        "sasl_plain_password": "right",
    }  # fmt: skip
    fill(plain, **access)
    secrets.put_secret_value(SecretId=wrong, SecretString=json.dumps({"username": "u", "password": "right"}))
    mended = feds[0][0]
    mended.wait(1)
    for fed, uuid, _ in feds:
        fed.drop(uuid)
