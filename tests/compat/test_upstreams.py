"""--aws moto and --aws real: the services that are not this server's, at moto's server and at AWS."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from served import REGION, ROOT, Served
from support import until

KEYS = [{"AttributeName": "k", "KeyType": "HASH"}]
ATTRIBUTES = [{"AttributeName": "k", "AttributeType": "S"}]


def children(server: Served) -> list[int]:
    """The processes that moto's server runs in."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = Path(f"/proc/{entry}/cmdline").read_bytes()
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"engine.aws.moto" in command and parent == server.process.pid:
                found.append(int(entry))
    return found


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def table(server: Served, name: str, **keys: str) -> str:
    arn: str = server.client("dynamodb", **keys).create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=KEYS, AttributeDefinitions=ATTRIBUTES
    )["TableDescription"]["TableArn"]
    return arn


@pytest.mark.promise(136)
def test_moto_is_started_watched_and_ended(tmp_path: Path) -> None:
    pytest.importorskip("moto")
    server = Served(tmp_path / "state", "--aws", "moto")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a;b c/ü", Body=b"body")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["a;b c/ü"]
    assert s3.get_object(Bucket="bucket", Key="a;b c/ü")["Body"].read() == b"body"
    # The accounts are this server's.
    assert table(server, "t") == f"arn:aws:dynamodb:{REGION}:000000000000:table/t"
    other = {"aws_access_key_id": "111111111111"}
    assert table(server, "t", **other) == f"arn:aws:dynamodb:{REGION}:111111111111:table/t"
    (pid,) = children(server)
    os.kill(pid, signal.SIGKILL)
    assert server.client("dynamodb").list_tables()["TableNames"] == []  # nobody is turned away meanwhile
    assert server.client("lambda").list_functions()["Functions"] == []
    (again,) = children(server)
    assert again != pid
    assert server.stop() == 0
    assert not runs(again)
    log = server.log.read_text()
    assert "moto's server ended (signal SIGKILL): what it had" in log and "is lost" in log
    assert len(re.findall(r"moto's server ends with this one, and what it had .* is gone", log)) == 1


@pytest.mark.promise(136)
def test_moto_does_not_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("moto")
    server = Served(tmp_path / "state", "--aws", "moto")
    (pid,) = children(server)
    server.process.kill()
    server.process.communicate()
    until(lambda: not runs(pid))


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--aws", "moto"], "stoker serve: --aws moto: moto is not installed: pip install 'stoker[aws]'\n"),
        (
            ["--aws", "moto", "--aws-endpoint", "http://127.0.0.1:1"],
            "stoker serve: --aws moto and --aws-endpoint: the other services are at one of them\n",
        ),
        (
            ["--aws", "real"],
            "stoker serve: --aws real: there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY\n",
        ),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, arguments: list[str], refusal: str) -> None:
    """In a Python without moto, and a home without credentials."""
    code = "import sys; sys.modules['moto'] = None; from engine.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--state", str(tmp_path / "s"), *arguments]
    nothing = {
        "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": os.environ["PATH"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    done = subprocess.run(command, env=nothing, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, refusal)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose AWS is another one, which lets in only what is signed with the user's credentials."""
    pytest.importorskip("moto")
    folder = tmp_path_factory.mktemp("real")
    (folder / "keys").write_text("[user]\naws_access_key_id = AKIAUSER\naws_secret_access_key = secret\n")
    aws = Served(folder / "aws", "--aws", "moto", "--auth", str(folder / "keys"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": aws.url, "AWS_ENDPOINT_URL_DYNAMODB": aws.url, "AWS_ACCESS_KEY_ID": "AKIAUSER",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        server = Served(folder / "state", "--aws", "real")
        with pytest.raises(ClientError, match="InvalidAccessKeyId|UnrecognizedClient|403"):
            aws.client("s3").list_buckets()
    yield server
    assert server.stop() == 0
    assert aws.stop() == 0


@pytest.mark.promise(137)
def test_requests_to_aws_are_signed_with_the_users_credentials(real: Served) -> None:
    assert "AWS, with your credentials" in real.log.read_text()
    assert table(real, "t").endswith("table/t")
    dynamodb = real.client("dynamodb")
    dynamodb.put_item(TableName="t", Item={"k": {"S": "ü"}})
    assert dynamodb.get_item(TableName="t", Key={"k": {"S": "ü"}})["Item"] == {"k": {"S": "ü"}}
    s3 = real.client("s3")
    s3.create_bucket(Bucket="bucket")
    for key in ("a b/ü+%", "plain"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"body", Metadata={"m": "1"})
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"body"
    listed = s3.list_objects_v2(Bucket="bucket", Prefix="a b/")
    assert [each["Key"] for each in listed["Contents"]] == ["a b/ü+%"]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b/ü+%"})
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"body"


@pytest.mark.promise(137)
def test_chunks_that_were_signed_go_on_without_their_signatures(real: Served) -> None:
    s3 = real.client("s3")
    s3.create_bucket(Bucket="chunks")
    body = b"5;chunk-signature=00\r\nhello\r\n6;chunk-signature=00\r\n world\r\n0;chunk-signature=00\r\n\r\n"
    scope = f"Credential=any/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(
        f"{real.url}/chunks/key", body, method="PUT",
        headers={
            "Authorization": f"AWS4-HMAC-SHA256 {scope}", "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "X-Amz-Decoded-Content-Length": "11", "Content-Encoding": "aws-chunked,gzip", "Content-Type": "a/b",
        },
    )  # fmt: skip
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    found = s3.get_object(Bucket="chunks", Key="key")
    assert (found["Body"].read(), found["ContentEncoding"]) == (b"hello world", "gzip")


def test_a_server_is_not_its_own_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with AWS_ENDPOINT_URL in the shell that starts it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    server = Served(tmp_path / "state", "--aws", "real", "--port", str(port))
    client: Any = boto3.client(
        "s3", endpoint_url=server.url, region_name=REGION, config=Config(retries={"max_attempts": 0})
    )
    with pytest.raises(ClientError, match="unset AWS_ENDPOINT_URL"):
        client.list_buckets()
    assert server.stop() == 0
