"""Another service moves in: nothing of the engine is changed for it, whichever protocol its model names."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from served import ROOT

from .toy_service import PROTOCOLS, described

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NOTE = {"Text": "a & b", "Count": 2, "Tags": ["x", "y"], "Labels": {"k": "v"}, "When": WHEN}
KEY = "AKIAEXAMPLE"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("toy")
    credentials = folder / "credentials"
    credentials.write_text(f"[a]\naws_access_key_id={KEY}\naws_secret_access_key=secret\n")
    program = Path(__file__).with_name("toy_service.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder / "state"), str(credentials)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout.readline().split()[-1]
    process.terminate()
    with process:
        assert process.wait(40) == 0


def make_client(
    url: str, protocol: str, folder: Path, region: str = "us-east-1", secret: str = "secret"
) -> Any:
    model = described(protocol)
    name = model["metadata"]["signingName"]
    (folder / name / "2026-01-01").mkdir(parents=True, exist_ok=True)
    (folder / name / "2026-01-01" / "service-2.json").write_text(json.dumps(model))
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.append(str(folder))
    return boto3.Session(botocore_session=session).client(
        name, endpoint_url=url, region_name=region, aws_access_key_id=KEY, aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )  # fmt: skip


def refused(call: Any, **members: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestEachProtocol:
    def test_dispatched_and_rendered(self, url: str, protocol: str, tmp_path: Path) -> None:
        client = make_client(url, protocol, tmp_path)
        stored = client.put_note(Name="one", **NOTE)
        assert stored.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        assert stored == {**NOTE, "Owner": KEY}
        assert client.get_note(Name="one")["Text"] == "a & b"

    def test_each_region_has_its_own(self, url: str, protocol: str, tmp_path: Path) -> None:
        make_client(url, protocol, tmp_path).put_note(Name="here", **NOTE)
        other = make_client(url, protocol, tmp_path, "eu-west-1")
        assert refused(other.get_note, Name="here") == ("NoSuchNote", "There is no note here", 404)

    def test_validated(self, url: str, protocol: str, tmp_path: Path) -> None:
        client = make_client(url, protocol, tmp_path)
        code, message, status = refused(client.put_note, Name="UPPER", Text="t", Count=4)
        assert (code, status) == ("ValidationError" if protocol == "query" else "ValidationException", 400)
        assert message.startswith("2 validation errors detected: ")
        assert "Member must satisfy regular expression pattern: [a-z]+" in message
        assert "Member must have value less than or equal to 3" in message
        assert "Member must not be null" in refused(client.put_note, Name="n")[1]

    def test_authorised(self, url: str, protocol: str, tmp_path: Path) -> None:
        client = make_client(url, protocol, tmp_path, secret="another")
        code, _, status = refused(client.get_note, Name="one")
        assert code == ("SignatureDoesNotMatch" if protocol == "query" else "InvalidSignatureException")
        assert status == 403

    def test_an_operation_that_is_not_implemented(self, url: str, protocol: str, tmp_path: Path) -> None:
        client = make_client(url, protocol, tmp_path)
        code, message, status = refused(client.drop_note, Name="one")
        assert (message, status) == ("DropNote is not implemented by this endpoint.", 501)
        assert code == ("NotImplemented" if protocol == "query" else "NotImplementedException")

    def test_an_operation_that_the_model_has_not(self, url: str, protocol: str, tmp_path: Path) -> None:
        client = make_client(url, protocol, tmp_path)

        def rename(request: Any, **_: Any) -> None:
            if protocol == "rest-json":
                request.url = request.url.replace("/notes/", "/letters/")
            elif protocol == "json":
                request.headers.replace_header("X-Amz-Target", "notesjson_20260101.Sing")
            else:
                request.data["Action"] = "Sing"

        client.meta.events.register("request-created.*.GetNote", rename)
        code, _, status = refused(client.get_note, Name="one")
        assert (code, status) in {
            ("UnknownOperationException", 400), ("InvalidAction", 400), ("UnknownOperationException", 404),
        }  # fmt: skip


def test_without_a_signature_nothing_is_done(url: str) -> None:
    parts = urlsplit(url)
    for method, path, headers, body in (
        ("GET", "/2026-01-01/notes/one", {"Host": "notesrestjson.localhost"}, b""),
        ("POST", "/", {"X-Amz-Target": "notesjson_20260101.GetNote"}, b'{"Name": "one"}'),
        ("POST", "/", {"Host": "notesquery.localhost", "Content-Type": "application/x-www-form-urlencoded"},
         b"Action=GetNote&Version=2026-01-01&Name=one"),
    ):  # fmt: skip
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        assert response.status == 403
        assert b"Missing Authentication Token" in response.read()
        connection.close()
