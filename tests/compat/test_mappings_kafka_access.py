"""Mappings of a Kafka that asks who comes in: SASL, TLS, client certificates; what they say when refused."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from brokered import BrokerFed, secret
from certificates import Authority
from kafka_door import Behind, fill
from served import REGION, Served
from support import until

ARN = f"arn:aws:kafka:{REGION}:123456789012:cluster/secured/0123-4"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "right"}


class Msk:
    """As much of MSK as moto has not: one cluster, whose bootstrap servers are `servers`."""

    def __init__(self) -> None:
        self.servers: dict[str, str] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(self.path)
                found: dict[str, Any] | None = None
                if path == f"/v1/clusters/{ARN}/bootstrap-brokers":
                    found = owner.servers
                elif path == f"/api/v2/clusters/{ARN}":
                    found = {"clusterInfo": {"clusterArn": ARN, "clusterName": "secured", "state": "ACTIVE"}}
                body = json.dumps(found or {"message": "The cluster does not exist."}).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("x-amzn-errortype", "NotFoundException")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def msk() -> Iterator[Msk]:
    made = Msk()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def server(
    moto: str, msk: Msk, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("access")
    (folder / "authority").write_text(authority.certificate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_KAFKA", msk.url)
        patch.setenv("SSL_CERT_FILE", str(folder / "authority"))  # whom the machine trusts
        for name, value in KEYS.items():
            patch.setenv(name, value)
        served = Served(folder / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def secrets(moto: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION, **keys)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Behind]:
    made = Behind(tmp_path_factory.mktemp("doors"), authority)
    yield made
    made.close()


@pytest.mark.promise(245)
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


@pytest.mark.promise(245)
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


@pytest.mark.promise(279)
def test_a_cluster_of_msk_by_iam(
    server: Served, behind: Behind, msk: Msk, authority: Authority, name: str
) -> None:
    """By what GetBootstrapBrokers says, without a secret; the credentials of the server are the wrong ones at first."""
    from aiokafka.abc import AbstractTokenProvider
    from botocore.credentials import Credentials

    from engine.sources.kafka import iam

    class Tokens(AbstractTokenProvider):  # type: ignore[misc]
        async def token(self) -> str:
            return iam.token(REGION, Credentials("k", "right"), "20260101T000000Z")

    context = ssl.create_default_context(cadata=authority.certificate)
    servers = behind.door("OAUTHBEARER", tls=True)
    door = behind.open[-1]
    msk.servers = {"bootstrapBrokerStringTls": "127.0.0.1:1", "bootstrapBrokerStringSaslIam": servers}
    fill(
        servers, security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", ssl_context=context,
        sasl_oauth_token_provider=Tokens(),
    )  # fmt: skip
    door.password = "another"
    fed = BrokerFed(server, server.log.parent)
    uuid = fed.map(ARN, Topics=["topic"], StartingPosition="TRIM_HORIZON")
    until(lambda: fed.result(uuid) == "PROBLEM: SASL authentication failed.", 60, "the refusal")
    assert fed.get(uuid)["StateTransitionReason"] == "EVENT_SOURCE_AUTHN_ERROR"
    door.password = "right"
    fed.wait(1)
    assert (fed.texts(), fed.events()[0]["bootstrapServers"]) == (["1"], servers)
    fed.drop(uuid)
    with pytest.raises(fed.api.exceptions.InvalidParameterValueException, match="Cluster not found"):
        fed.map(f"{ARN[:-1]}5", Topics=["topic"], StartingPosition="TRIM_HORIZON")
