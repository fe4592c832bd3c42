"""Signatures of the generator: those that the server's verification takes, and botocore would make."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.sigv4 import Credential, Denied, Verifier
from engine.load.generate import http_client
from engine.load.generate.http_client import Credentials, Signer

HOST = "127.0.0.1:9001"
PATH = "/2015-03-31/functions/one%3Alive/invocations"
NOW = 1_440_938_160.7


def verified(signer: Signer, credentials: Credentials, body: bytes, path: str = PATH) -> str:
    headers = [("Host", HOST), ("Content-Type", "application/json"), *signer.headers(body).items()]
    keys = {credentials.key: Credential(credentials.secret, credentials.token or None)}
    return Verifier(keys, region=credentials.region, clock=lambda: NOW).verify(
        "POST", path, "", headers, body
    )


@given(
    secret=st.text("abcXYZ019/+", min_size=1), token=st.sampled_from(["", "a/session+token="]),
    body=st.binary(max_size=100), path=st.sampled_from([PATH, "/x/2015-03-31/functions/a/invocations"]),
)  # fmt: skip
def test_what_is_signed_is_taken(secret: str, token: str, body: bytes, path: str) -> None:
    credentials = Credentials("AKIDEXAMPLE", secret, "eu-west-1", token)
    signer = Signer(credentials, HOST, path, clock=lambda: NOW)
    assert verified(signer, credentials, body, path) == "AKIDEXAMPLE"


def test_it_is_of_its_body_and_of_its_time() -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret", "us-east-1")
    now = [NOW]
    signer = Signer(credentials, HOST, PATH, clock=lambda: now[0])
    first = signer.headers(b"1")
    assert signer.headers(b"1") == first != signer.headers(b"2")
    now[0] += 86_400
    assert signer.headers(b"1")["Authorization"] != first["Authorization"]
    with pytest.raises(Denied, match="not yet current"):
        verified(signer, credentials, b"1")


def test_botocore_makes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    credentials = Credentials("AKIDEXAMPLE", "secret", "us-east-1", "token")
    ours = Signer(credentials, HOST, PATH, clock=lambda: NOW).headers(b'{"n": 1}')
    request = AWSRequest("POST", f"http://{HOST}{PATH}", data=b'{"n": 1}')
    signer = auth.SigV4Auth(Theirs("AKIDEXAMPLE", "secret", "token"), "lambda", "us-east-1")
    request.context["timestamp"] = ours["X-Amz-Date"]
    request.headers["X-Amz-Date"] = ours["X-Amz-Date"]
    request.headers["X-Amz-Security-Token"] = "token"
    theirs = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert ours["Authorization"].endswith(f"Signature={theirs}")


class TestCredentials:
    @pytest.fixture(autouse=True)
    def nowhere(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        pytest.importorskip("botocore")
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_REGION",
        ):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def test_those_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        assert http_client.credentials() == Credentials("key", "secret", "us-east-1", "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        assert http_client.credentials() == Credentials("key", "secret", "eu-west-1", "token")

    def test_none(self) -> None:
        with pytest.raises(ValueError, match="there are no credentials to sign with: set AWS_ACCESS_KEY_ID"):
            http_client.credentials()

    def test_a_profile_that_there_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(ValueError, match=r"there are no credentials to sign with: .*nobody"):
            http_client.credentials()
