"""Buckets that are folders: their objects by boto3, and word of files that come, change and go by themselves."""

from __future__ import annotations

import io
import json
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from delivered import ACCOUNT, queue, received, refused
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.errors import InvalidConfiguration
from engine.hosting.archives import pack
from engine.services.s3.folders import parse_bucket

EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
MIB = 1 << 20


def serve(folder: Path, **buckets: Path) -> Served:
    options = [part for name, path in buckets.items() for part in ("--bucket", f"{name}=directory://{path}")]
    return Served(folder / "state", *options)


class Bucket:
    """A bucket, its folder, and a queue that hears of it."""

    def __init__(self, server: Served, name: str, path: Path) -> None:
        self.name, self.path, self.sqs, self.s3 = name, path, server.client("sqs"), server.client("s3")
        self.url, arn = queue(self.sqs, name)
        if not self.s3.get_bucket_notification_configuration(Bucket=name).get("QueueConfigurations"):
            self.s3.put_bucket_notification_configuration(
                Bucket=name,
                NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": EVENTS}]},
            )
            received(self.sqs, self.url)

    def told(self, count: int = 1) -> list[tuple[str, str]]:
        """The next events: what, and of which key."""
        bodies = [json.loads(each["Body"]) for each in received(self.sqs, self.url, count)]
        records = [record for body in bodies for record in body["Records"]]
        return sorted((each["eventName"], each["s3"]["object"]["key"]) for each in records)

    def nothing_more(self) -> None:
        """What would come late comes before this, of which nothing else is told."""
        key = uuid.uuid4().hex
        (self.path / key).write_bytes(b"last")
        assert self.told() == [("ObjectCreated:Put", key)]
        (self.path / key).unlink()
        assert self.told() == [("ObjectRemoved:Delete", key)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    pytest.importorskip("watchfiles")
    folder = tmp_path_factory.mktemp("folders")
    paths = {name: folder / name for name in ("objects", "files", "handled")}
    for path in paths.values():
        path.mkdir()
    server = serve(folder, **paths)
    yield server, folder
    assert server.stop() == 0


@pytest.fixture(scope="module")
def objects(served: tuple[Served, Path]) -> Bucket:
    return Bucket(served[0], "objects", served[1] / "objects")


@pytest.mark.promise(142)
def test_an_object_is_a_file(objects: Bucket) -> None:
    s3 = objects.s3
    etag = s3.put_object(
        Bucket="objects", Key="a b/ü+%.txt", Body=b"0123456789", ContentType="text/x", Metadata={"m": "1"}
    )["ETag"]
    assert (objects.path / "a b/ü+%.txt").read_bytes() == b"0123456789"
    assert objects.told() == [("ObjectCreated:Put", "a+b/%C3%BC%2B%25.txt")]
    named = {"Bucket": "objects", "Key": "a b/ü+%.txt"}
    found = s3.get_object(**named)
    assert (found["Body"].read(), found["ETag"], found["ContentType"]) == (b"0123456789", etag, "text/x")
    head = s3.head_object(**named)
    assert (head["ContentLength"], head["Metadata"], head["ETag"]) == (10, {"m": "1"}, etag)
    for wanted, part, text in (
        ("bytes=2-4", "bytes 2-4/10", b"234"), ("bytes=8-", "bytes 8-9/10", b"89"), ("bytes=-1", "bytes 9-9/10", b"9"),
    ):  # fmt: skip
        ranged = s3.get_object(**named, Range=wanted)
        assert (ranged["Body"].read(), ranged["ContentRange"]) == (text, part)
    assert refused(s3.get_object, **named, Range="bytes=10-")[0] == "InvalidRange"
    assert refused(s3.get_object, **named, IfMatch='"0"')[0] == "PreconditionFailed"
    assert refused(s3.head_object, **named, IfNoneMatch=etag)[0] == "304"
    assert refused(s3.put_object, **named, Body=b"", IfNoneMatch="*")[0] == "PreconditionFailed"
    url = s3.generate_presigned_url("get_object", Params=named)
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"0123456789"
    s3.copy_object(Bucket="objects", Key="copy", CopySource=named)
    assert objects.told() == [("ObjectCreated:Copy", "copy")]
    assert s3.head_object(Bucket="objects", Key="copy")["Metadata"] == {"m": "1"}
    s3.delete_object(**named)
    s3.delete_objects(Bucket="objects", Delete={"Objects": [{"Key": "copy"}, {"Key": "never was"}]})
    assert objects.told(2) == [
        ("ObjectRemoved:Delete", "a+b/%C3%BC%2B%25.txt"), ("ObjectRemoved:Delete", "copy"),
    ]  # fmt: skip
    assert refused(s3.get_object, **named)[0] == "NoSuchKey"
    assert refused(s3.head_object, **named)[0] == "404"
    objects.nothing_more()


@pytest.mark.promise(142)
def test_a_file_in_the_way_of_a_folder_is_refused_and_so_is_the_other(objects: Bucket) -> None:
    s3 = objects.s3
    s3.put_object(Bucket="objects", Key="way", Body=b"x")
    s3.put_object(Bucket="objects", Key="deep/down/")
    assert (objects.path / "deep/down").is_dir()
    for key in ("way/", "way/in/it", "deep"):
        assert refused(s3.put_object, Bucket="objects", Key=key)[0] == "InvalidArgument", key
    s3.delete_object(Bucket="objects", Key="way")
    assert objects.told(2) == [("ObjectCreated:Put", "way"), ("ObjectRemoved:Delete", "way")]
    objects.nothing_more()


@pytest.mark.promise(142)
def test_listings(objects: Bucket) -> None:
    s3 = objects.s3
    keys = ["l/a", "l/a.b", "l/e", "l/f/g", "l/é"]
    (objects.path / "l/f").mkdir(parents=True)
    for key in keys:
        (objects.path / key).write_bytes(b"x")
    objects.told(5)
    for name in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(name).paginate(
            Bucket="objects", Prefix="l/", PaginationConfig={"PageSize": 2}
        )
        assert [[each["Key"] for each in page.get("Contents", ())] for page in pages] == [
            keys[:2],
            keys[2:4],
            keys[4:],
        ]
        pages = s3.get_paginator(name).paginate(
            Bucket="objects", Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 3}
        )
        found = [each["Key"] for page in pages for each in page.get("Contents", ())]
        prefixes = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
        assert (found, prefixes) == (["l/a", "l/a.b", "l/e", "l/é"], ["l/f/"])
    assert "Contents" not in s3.list_objects_v2(Bucket="objects", Prefix="nothing")
    (listed,) = s3.list_objects_v2(Bucket="objects", Prefix="l/f/g")["Contents"]
    assert (listed["Size"], listed["ETag"]) == (1, s3.head_object(Bucket="objects", Key="l/f/g")["ETag"])
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == ["files", "handled", "objects"]
    assert s3.head_bucket(Bucket="objects")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert refused(s3.create_bucket, Bucket="objects")[0] == "BucketAlreadyOwnedByYou"
    assert refused(s3.head_bucket, Bucket="another")[0] == "501"


@pytest.mark.promise(142)
def test_uploads_in_parts(objects: Bucket, tmp_path: Path) -> None:
    data = os.urandom(12 * MIB)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    objects.s3.upload_fileobj(io.BytesIO(data), "objects", "in parts", Config=config)
    assert objects.told() == [("ObjectCreated:CompleteMultipartUpload", "in+parts")]
    objects.s3.download_file("objects", "in parts", str(tmp_path / "back"), Config=config)
    assert (tmp_path / "back").read_bytes() == data
    upload = {"Bucket": "objects", "Key": "given up"}
    id = objects.s3.create_multipart_upload(**upload)["UploadId"]
    objects.s3.upload_part(**upload, UploadId=id, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": '"0"'}]}
    complete = {**upload, "UploadId": id, "MultipartUpload": parts}
    assert refused(objects.s3.complete_multipart_upload, **complete)[0] == "InvalidPart"
    objects.s3.abort_multipart_upload(**upload, UploadId=id)
    assert refused(objects.s3.complete_multipart_upload, **complete)[0] == "NoSuchUpload"
    assert not [path for path in objects.path.iterdir() if path.name.startswith(".")]
    objects.nothing_more()


@pytest.mark.promise(142)
def test_a_body_in_signed_chunks(served: tuple[Served, Path], objects: Bucket) -> None:
    body = b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\n\r\n"
    scope = f"Credential=any/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 {scope}", "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "X-Amz-Decoded-Content-Length": "5", "Content-Encoding": "aws-chunked",
    }  # fmt: skip
    url = f"{served[0].url}/objects/chunks"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT")) as response:
        assert response.status == 200
    assert (objects.path / "chunks").read_bytes() == b"hello"
    assert objects.told() == [("ObjectCreated:Put", "chunks")]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(url, body[:-8], headers, method="PUT"))
    assert (objects.path / "chunks").read_bytes() == b"hello"


@pytest.mark.promise(143)
@pytest.mark.parametrize(
    "key", ["../out", "a/../../out", "link/out", "linked", "/out", "a//b", ".stoker-x", "a" * 300]
)
def test_a_key_that_leads_out_of_the_folder(objects: Bucket, tmp_path: Path, key: str) -> None:
    (tmp_path / "out").write_text("secret")
    for name, to in (("link", tmp_path), ("linked", tmp_path / "out")):
        if not (objects.path / name).is_symlink():
            (objects.path / name).symlink_to(to)
    for call in (objects.s3.get_object, objects.s3.delete_object):
        assert refused(call, Bucket="objects", Key=key)[0] in ("AccessDenied", "InvalidArgument")
    assert refused(objects.s3.put_object, Bucket="objects", Key=key, Body=b"x")[0] in (
        "AccessDenied",
        "InvalidArgument",
    )
    assert (tmp_path / "out").read_text() == "secret"
    listed = objects.s3.list_objects_v2(Bucket="objects").get("Contents", ())
    assert not [each for each in listed if each["Key"].startswith("link")]


def rename_in(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"x")
    (path.parent / "elsewhere").rename(path / "renamed")


def a_folder(path: Path) -> None:
    made = path.parent / "new folder"
    (made / "deep").mkdir(parents=True)
    (made / "deep/file").write_bytes(b"x")
    (made / "file").write_bytes(b"x")
    made.rename(path / "new folder")


CHANGES: list[tuple[Callable[[Path], Any], list[tuple[str, str]]]] = [
    (lambda path: (path / "file").write_bytes(b"x"), [("ObjectCreated:Put", "file")]),
    (lambda path: (path / "file").write_bytes(b"other"), [("ObjectCreated:Put", "file")]),
    (rename_in, [("ObjectCreated:Put", "renamed")]),
    (
        lambda path: (path / "renamed").rename(path / "again"),
        [("ObjectCreated:Put", "again"), ("ObjectRemoved:Delete", "renamed")],
    ),
    (lambda path: (path / "again").unlink(), [("ObjectRemoved:Delete", "again")]),
    (a_folder, [("ObjectCreated:Put", "new+folder/deep/file"), ("ObjectCreated:Put", "new+folder/file")]),
    (
        lambda path: (path / "new folder").rename(path.parent / "out"),
        [("ObjectRemoved:Delete", "new+folder/deep/file"), ("ObjectRemoved:Delete", "new+folder/file")],
    ),
]


@pytest.mark.promise(144)
def test_files_that_come_change_and_go_by_themselves(served: tuple[Served, Path]) -> None:
    bucket = Bucket(served[0], "files", served[1] / "files")
    for change, expected in CHANGES:
        change(bucket.path)
        assert bucket.told(len(expected)) == expected
    # One that is being written is none yet, however long that takes.
    with (bucket.path / "slow").open("wb") as slow:
        slow.write(b"begin")
        slow.flush()
        bucket.nothing_more()
        slow.write(b"end")
    assert bucket.told() == [("ObjectCreated:Put", "slow")]
    (bucket.path / "to nowhere").symlink_to("/nowhere")
    bucket.nothing_more()


@pytest.mark.promise(144)
def test_what_happens_while_no_server_runs(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    folder = tmp_path / "bucket"
    folder.mkdir()
    for name in ("kept", "changed", "gone"):
        (folder / name).write_bytes(b"x")  # before there is a bucket: no upload
    server = serve(tmp_path, bucket=folder)
    bucket = Bucket(server, "bucket", folder)
    bucket.nothing_more()
    bucket.s3.put_object(Bucket="bucket", Key="put", Body=b"x")
    assert bucket.told() == [("ObjectCreated:Put", "put")]
    server.process.kill()
    server.process.communicate()
    (folder / "changed").write_bytes(b"other")
    (folder / "gone").unlink()
    (folder / "new").write_bytes(b"x")
    server = serve(tmp_path, bucket=folder)
    bucket = Bucket(server, "bucket", folder)
    assert bucket.told(3) == [
        ("ObjectCreated:Put", "changed"), ("ObjectCreated:Put", "new"), ("ObjectRemoved:Delete", "gone"),
    ]  # fmt: skip
    assert server.stop() == 0
    server = serve(tmp_path, bucket=folder)
    Bucket(server, "bucket", folder).nothing_more()
    assert server.stop() == 0


HANDLER = """
import boto3
from urllib.parse import unquote_plus
s3 = boto3.client("s3")
def handler(event, context):
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        s3.put_object(Bucket=bucket, Key=key.replace("in/", "out/"), Body=text.upper())
"""


@pytest.mark.promise(140, 144)
def test_a_handler_that_reads_and_writes_the_bucket(served: tuple[Served, Path]) -> None:
    server, folder = served
    (folder / "app.py").write_text(HANDLER)
    api = server.client()
    arn = api.create_function(
        FunctionName="loud", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=30, MemorySize=256,
        Code={"ZipFile": pack(folder / "app.py")},
    )["FunctionArn"]  # fmt: skip
    api.add_permission(
        FunctionName="loud", StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::handled", SourceAccount=ACCOUNT,
    )  # fmt: skip
    rules = [{"Name": "prefix", "Value": "in/"}]
    wanted = {"LambdaFunctionArn": arn, "Events": EVENTS[:1], "Filter": {"Key": {"FilterRules": rules}}}
    server.client("s3").put_bucket_notification_configuration(
        Bucket="handled", NotificationConfiguration={"LambdaFunctionConfigurations": [wanted]}
    )
    server.client("s3").put_object(Bucket="handled", Key="in/a b", Body=b"words")
    out = folder / "handled/out"
    until((out / "a b").exists)
    assert (out / "a b").read_text() == "WORDS"
    (folder / "handled/in/by hand").write_text("more")
    until((out / "by hand").exists)
    assert (out / "by hand").read_text() == "MORE"


@pytest.mark.parametrize(
    ("bucket", "refusal"),
    [
        ("name", "write NAME=directory:///PATH"),
        ("name=directory://relative", "write NAME=directory:///PATH"),
        ("name=directory:///no/such/folder", "/no/such/folder is no directory"),
    ],
)
def test_what_is_no_bucket(bucket: str, refusal: str) -> None:
    with pytest.raises(InvalidConfiguration, match=refusal):
        parse_bucket(bucket)
