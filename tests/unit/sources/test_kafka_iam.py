"""Access to MSK by IAM: the token as AWS's signers make it, and by which way a cluster is got into."""

from __future__ import annotations

import asyncio
import base64
import datetime
from typing import Any
from unittest.mock import patch

import pytest
from botocore import auth
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from engine.aws.names import Place
from engine.sources import words
from engine.sources.kafka import iam
from engine.sources.kafka.cluster import find
from engine.sources.settings import Settings

REGION = "eu-central-1"
ARN = f"arn:aws:kafka:{REGION}:123456789012:cluster/c/0123-4"
AT = datetime.datetime(2026, 11, 30, 2, 3, 4, tzinfo=datetime.UTC)


def by_botocore(credentials: Credentials) -> str:
    """As aws-msk-iam-sasl-signer does."""
    request = AWSRequest(
        "GET", f"https://kafka.{REGION}.amazonaws.com/", params={"Action": "kafka-cluster:Connect"}
    )
    with patch.object(auth, "get_current_datetime", lambda: AT.replace(tzinfo=None)):
        SigV4QueryAuth(credentials, "kafka-cluster", REGION, expires=900).add_auth(request)
    return str(request.url)


@pytest.mark.promise(279)
@pytest.mark.parametrize("session", [None, "a/session+token=="])
def test_a_token_is_that_of_awss_signers(session: str | None) -> None:
    credentials = Credentials("AKIAEXAMPLE", "secret/key+", session)
    token = iam.token(REGION, credentials, AT.strftime("%Y%m%dT%H%M%SZ"))
    assert not set(token) & set("=+/")
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    signed, _, agent = url.rpartition("&User-Agent=")
    assert agent
    assert signed == by_botocore(credentials)
    assert "X-Amz-Expires=900" in signed


class Kafkas:
    """AWS's service, of a cluster with these servers."""

    def __init__(self, **servers: str) -> None:
        self.servers = {f"BootstrapBrokerString{kind}": where for kind, where in servers.items()}

    async def call(
        self, service: str, operation: str, members: dict[str, Any], place: Place
    ) -> dict[str, Any]:
        if service == "secretsmanager":
            return {"SecretString": '{"username": "u", "password": "p"}'}
        assert (service, operation, members) == ("kafka", "GetBootstrapBrokers", {"ClusterArn": ARN})
        assert place == Place(REGION, "123456789012")
        return self.servers

    async def credentials(self, place: Place) -> Credentials:
        return Credentials("k", "s")


EVERY = {"": "plain:9092", "Tls": "tls:9094", "SaslScram": "scram:9096", "SaslIam": "iam:9098"}


@pytest.mark.promise(279)
@pytest.mark.parametrize(
    "has,access,expected",
    [
        (EVERY, (), ("iam:9098", "SASL_SSL", "OAUTHBEARER")),  # the strongest that needs no secret
        (EVERY, ("IAM_AUTH",), ("iam:9098", "SASL_SSL", "OAUTHBEARER")),
        (EVERY, ("SASL_SCRAM_512_AUTH",), ("scram:9096", "SASL_SSL", "SCRAM-SHA-512")),
        ({"": "plain:9092", "Tls": "tls:9094"}, (), ("tls:9094", "SSL", None)),
        ({"": "plain:9092"}, (), ("plain:9092", "PLAINTEXT", None)),
        ({"PublicSaslIam": "public:9198"}, (), ("public:9198", "SASL_SSL", "OAUTHBEARER")),
        ({"Tls": "tls:9094"}, ("SASL_SCRAM_512_AUTH",), None),
        ({}, (), None),
    ],
)  # fmt: skip
def test_the_strongest_way_in_is_taken(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, str], access: tuple[str, ...], expected: Any
) -> None:
    monkeypatch.delenv("STOKER_BROKERS", raising=False)
    record = {
        "UUID": "u", "_kind": "kafka", "FunctionArn": "", "EventSourceArn": ARN, "BatchSize": 1, "Topics": ["t"],
        "SourceAccessConfigurations": [{"Type": each, "URI": "secret"} for each in access],
    }  # fmt: skip
    settings = Settings.of(Place(REGION, "123456789012"), record)
    if expected is None:
        with pytest.raises(words.Problem, match="SASL authentication failed"):
            asyncio.run(find(Kafkas(**has), settings))  # type: ignore[arg-type]
        return
    found = asyncio.run(find(Kafkas(**has), settings))  # type: ignore[arg-type]
    assert (
        found.servers[0],
        found.options["security_protocol"],
        found.options.get("sasl_mechanism"),
    ) == expected
