"""One AWS_ENDPOINT_URL for a whole program: Lambda is served here, the others by the endpoint behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from clients import moto_server
from served import REGION, ROLE, RUNTIME, Served

from engine.hosting.archives import pack

SOURCE = """
import boto3
s3 = boto3.client("s3")  # by the environment alone, as on AWS
def handler(event, context):
    text = s3.get_object(Bucket="bucket", Key=event["key"])["Body"].read().decode()
    s3.put_object(Bucket="bucket", Key="loud", Body=text.upper())
    return len(text)
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server() as others:
        served = Served(tmp_path_factory.mktemp("state"), "--aws-endpoint", others)
        yield served.url
        assert served.stop() == 0


@pytest.fixture
def session(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> boto3.Session:
    """boto3, configured by nothing but the environment."""
    nowhere = str(tmp_path / "nowhere")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return boto3.Session()


def create(api: Any, name: str, **code: str) -> None:
    api.create_function(FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)


def test_code_that_lies_in_s3_and_works_on_s3(session: boto3.Session, tmp_path: Path) -> None:
    s3, api = session.client("s3"), session.client("lambda")
    (tmp_path / "app.py").write_text(SOURCE)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="code/app.zip", Body=pack(tmp_path / "app.py"))
    s3.put_object(Bucket="bucket", Key="quiet", Body=b"some words")
    create(api, "from-s3", S3Bucket="bucket", S3Key="code/app.zip")
    api.get_waiter("function_active_v2").wait(FunctionName="from-s3", WaiterConfig={"Delay": 0})
    response = api.invoke(FunctionName="from-s3", Payload=b'{"key": "quiet"}')
    assert (response.get("FunctionError"), response["Payload"].read()) == (None, b"10")
    assert s3.get_object(Bucket="bucket", Key="loud")["Body"].read() == b"SOME WORDS"


def test_code_that_is_not_there(session: boto3.Session) -> None:
    session.client("s3").create_bucket(Bucket="empty")
    with pytest.raises(ClientError) as caught:
        create(session.client("lambda"), "from-nowhere", S3Bucket="empty", S3Key="app.zip")
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"] == (
        "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
        "S3 Error Message: The specified key does not exist."
    )
