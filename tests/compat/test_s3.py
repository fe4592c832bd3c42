"""Notifications of buckets, with boto3 and moto's S3 behind the server: what comes, in which form, and where."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.parser.models import (
    S3EventNotificationEventBridgeModel,
    S3Model,
    S3SqsEventNotificationModel,
)
from delivered import ACCOUNT, NOTES, logged, queue, received, refused, rule, subscribed, topic
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

SAMPLES = Path(__file__).parent / "samples"
CREATED = "s3:ObjectCreated:*"
MD5 = "841a2d689ad86bd1611447453c22c6fc"  # of b"body"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("moto")
    served = Served(tmp_path_factory.mktemp("s3") / "state", "--aws", "moto")
    yield served
    assert served.stop() == 0


@pytest.fixture
def s3(server: Served) -> Any:
    return server.client("s3")


def bucket(s3: Any, name: str, **configuration: Any) -> str:
    s3.create_bucket(Bucket=name)
    configure(s3, name, **configuration)
    return name


def configure(s3: Any, name: str, **configuration: Any) -> None:
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)


def to_queue(arn: str, *events: str, **rules: str) -> dict[str, Any]:
    made: dict[str, Any] = {"QueueArn": arn, "Events": list(events or (CREATED,))}
    if rules:
        found = [{"Name": name, "Value": value} for name, value in rules.items()]
        made["Filter"] = {"Key": {"FilterRules": found}}
    return made


class Told:
    """A bucket that tells a queue of events."""

    def __init__(self, server: Served, name: str, *events: str, **rules: str) -> None:
        self.name, self.sqs = name, server.client("sqs")
        self.url, self.arn = queue(self.sqs, name)
        bucket(server.client("s3"), name, QueueConfigurations=[to_queue(self.arn, *events, **rules)])
        (test,) = received(self.sqs, self.url)
        assert json.loads(test["Body"])["Event"] == "s3:TestEvent"

    def records(self, count: int = 1) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for message in received(self.sqs, self.url, count):
            records = json.loads(message["Body"])["Records"]
            if (
                records[0]["eventVersion"] == "2.1"
            ):  # its model wants a size of the later kinds, too: AWS gives none
                parse(model=S3Model, event=message["Body"])
            found += records
        return sorted(found, key=lambda record: record["s3"]["object"].get("sequencer", ""))


def shape(value: Any) -> Any:
    """A record's members, and the types of what they are."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


@pytest.mark.promise(138)
def test_a_record_is_as_aws_has_it(server: Served, s3: Any) -> None:
    told = Told(server, "as-aws", CREATED, "s3:ObjectRemoved:*")
    s3.put_object(Bucket=told.name, Key="a key/ü+%.txt", Body=b"body")
    s3.delete_object(Bucket=told.name, Key="a key/ü+%.txt")
    created, deleted = told.records(2)
    assert shape({"Records": [created]}) == shape(sample("s3Event.json"))
    assert shape({"Records": [deleted]}) == shape(sample("s3EventDeleteObject.json"))
    assert (created["eventName"], deleted["eventName"]) == ("ObjectCreated:Put", "ObjectRemoved:Delete")
    about = created["s3"]["object"]
    assert (about["key"], about["size"], about["eTag"]) == ("a+key/%C3%BC%2B%25.txt", 4, MD5)
    assert created["awsRegion"] == REGION and created["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    assert created["s3"]["bucket"]["arn"] == "arn:aws:s3:::as-aws"


def form(s3: Any, name: str) -> None:
    fields = s3.generate_presigned_post(name, "posted/${filename}")
    parts = [*fields["fields"].items()]
    text = "".join(f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts)
    text += '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbody\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(fields["url"], text.encode(), headers)) as response:
        assert response.status in (200, 204)


def upload(s3: Any, name: str) -> None:
    id = s3.create_multipart_upload(Bucket=name, Key="large")["UploadId"]
    part = {"Bucket": name, "Key": "large", "UploadId": id, "PartNumber": 1}
    etag = s3.upload_part(**part, Body=b"body")["ETag"]
    s3.complete_multipart_upload(
        Bucket=name, Key="large", UploadId=id, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]}
    )


def restore(s3: Any, name: str) -> None:
    s3.put_object(Bucket=name, Key="cold", Body=b"body", StorageClass="GLACIER")
    s3.restore_object(Bucket=name, Key="cold", RestoreRequest={"Days": 1})


TAGS = {"TagSet": [{"Key": "k", "Value": "v"}]}
# What is done to a bucket that has an object "key", by the events that come of it.
DONE: list[tuple[Callable[[Any, str], Any], list[str], str]] = [
    (form, ["ObjectCreated:Post"], "posted/f"),
    (upload, ["ObjectCreated:CompleteMultipartUpload"], "large"),
    (
        lambda s3, name: s3.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "key"}),
        ["ObjectCreated:Copy"], "copy",
    ),
    (
        lambda s3, name: s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "key"}]}),
        ["ObjectRemoved:Delete"], "key",
    ),
    (
        lambda s3, name: s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "key"}], "Quiet": True}),
        ["ObjectRemoved:Delete"], "key",
    ),
    (
        lambda s3, name: s3.put_object_tagging(Bucket=name, Key="key", Tagging=TAGS),
        ["ObjectTagging:Put"], "key",
    ),
    (lambda s3, name: s3.delete_object_tagging(Bucket=name, Key="key"), ["ObjectTagging:Delete"], "key"),
    (lambda s3, name: s3.put_object_acl(Bucket=name, Key="key", ACL="private"), ["ObjectAcl:Put"], "key"),
    (restore, ["ObjectCreated:Put", "ObjectRestore:Post", "ObjectRestore:Completed"], "cold"),
]  # fmt: skip


@pytest.mark.promise(138)
@pytest.mark.parametrize(
    ("do", "events", "key"), DONE, ids=[f"{n}-{each[1][0]}" for n, each in enumerate(DONE)]
)
def test_what_is_told_of(
    server: Served, s3: Any, do: Callable[[Any, str], Any], events: list[str], key: str
) -> None:
    told = Told(server, f"told-{uuid.uuid4().hex}", *(f"s3:{kind}:*" for kind in (
        "ObjectRemoved", "ObjectTagging", "ObjectRestore")), CREATED, "s3:ObjectAcl:Put")  # fmt: skip
    s3.put_object(Bucket=told.name, Key="key", Body=b"body")
    told.records()
    do(s3, told.name)
    records = told.records(len(events))
    assert sorted(record["eventName"] for record in records) == sorted(events)
    for record in records:
        about, name = record["s3"]["object"], record["eventName"]
        assert about["key"] == key
        if name.startswith("ObjectCreated"):
            assert about["size"] == 4
        if "Removed" not in name:
            assert about["eTag"] == MD5 or (name.endswith("Upload") and about["eTag"].endswith("-1"))
        assert ("sequencer" in about) == (record["eventVersion"] == "2.1")
    if "ObjectRestore:Completed" in events:
        (completed,) = (each for each in records if each["eventName"] == "ObjectRestore:Completed")
        assert shape(completed["glacierEventData"]) == shape(
            sample("s3EventGlacier.json")["Records"][0]["glacierEventData"]
        )


@pytest.mark.promise(138)
def test_what_fails_and_what_only_reads_is_told_to_nobody(server: Served, s3: Any) -> None:
    told = Told(server, "silent", CREATED, "s3:ObjectTagging:*", prefix="in/", suffix=".jpg")
    assert refused(s3.put_object_tagging, Bucket="silent", Key="in/none.jpg", Tagging=TAGS)[0] == "NoSuchKey"
    missing = {"Bucket": "silent", "Key": "none"}
    assert refused(s3.copy_object, Bucket="silent", Key="in/copy.jpg", CopySource=missing)[0] == "NoSuchKey"
    for key in ("in/a.png", "out/a.jpg", "in.jpg"):
        s3.put_object(Bucket="silent", Key=key, Body=b"body")
        s3.get_object(Bucket="silent", Key=key)
    s3.put_object(Bucket="silent", Key="in/a.jpg", Body=b"body")
    (only,) = told.records()
    assert only["s3"]["object"]["key"] == "in/a.jpg"


@pytest.mark.promise(138)
def test_versions(server: Served, s3: Any) -> None:
    told = Told(server, "versions", CREATED, "s3:ObjectRemoved:*")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    made = s3.put_object(Bucket="versions", Key="k", Body=b"body")["VersionId"]
    marker = s3.delete_object(Bucket="versions", Key="k")["VersionId"]
    s3.delete_object(Bucket="versions", Key="k", VersionId=made)
    found = [(each["eventName"], each["s3"]["object"]["versionId"]) for each in told.records(3)]
    assert found == [
        ("ObjectCreated:Put", made), ("ObjectRemoved:DeleteMarkerCreated", marker), ("ObjectRemoved:Delete", made),
    ]  # fmt: skip


def function(server: Served, folder: Path, name: str, source: str = NOTES) -> str:
    """A function that notes its events in a file. Its ARN."""
    (folder / "app.py").write_text(source)
    api = server.client()
    arn: str = api.create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(folder / "app.py")}, Environment={"Variables": {"NOTE": str(folder / "notes")}},
    )["FunctionArn"]  # fmt: skip
    return arn


def permit(server: Served, name: str, bucket: str) -> None:
    server.client().add_permission(
        FunctionName=name, StatementId=f"s3-{bucket}", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount=ACCOUNT,
    )  # fmt: skip


@pytest.fixture
def shared(server: Served) -> Path:
    """Where functions may write to."""
    made = server.log.parent / uuid.uuid4().hex
    made.mkdir()
    return made


@pytest.mark.promise(140)
def test_a_function_that_lets_the_bucket_in(server: Served, s3: Any, shared: Path) -> None:
    arn = function(server, shared, "noter")
    s3.create_bucket(Bucket="to-function")
    wanted = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": [CREATED]}]}
    call = {"Bucket": "to-function", "NotificationConfiguration": wanted}
    assert refused(s3.put_bucket_notification_configuration, **call) == (
        "InvalidArgument", "Unable to validate the following destination configurations",
    )  # fmt: skip
    permit(server, "noter", "another")
    assert refused(s3.put_bucket_notification_configuration, **call)[0] == "InvalidArgument"
    permit(server, "noter", "to-function")
    s3.put_bucket_notification_configuration(**call)
    s3.put_object(Bucket="to-function", Key="k", Body=b"body")
    note = until(lambda: (shared / "notes").exists() and (shared / "notes").read_text().endswith("\n"))
    event = json.loads((shared / "notes").read_text()) if note else None
    assert shape(event) == shape(sample("s3Event.json"))
    parse(model=S3Model, event=event)
    # What is withdrawn later holds for what comes later.
    server.client().remove_permission(FunctionName="noter", StatementId="s3-to-function")
    s3.put_object(Bucket="to-function", Key="refused", Body=b"body")
    logged(server, "/aws/s3/failed-notifications", "refused")
    assert len((shared / "notes").read_text().splitlines()) == 1


@pytest.mark.promise(138)
def test_a_topic(server: Served, s3: Any) -> None:
    sns, sqs = server.client("sns"), server.client("sqs")
    url, arn = queue(sqs, "of-topic")
    to = topic(sns, "of-bucket")
    subscribed(sns, to, "sqs", arn)
    bucket(s3, "to-topic", TopicConfigurations=[{"TopicArn": to, "Events": [CREATED], "Id": "mine"}])
    s3.put_object(Bucket="to-topic", Key="k", Body=b"body")
    envelopes = [json.loads(each["Body"]) for each in received(sqs, url, 2)]
    assert {each["Subject"] for each in envelopes} == {"Amazon S3 Notification"}
    bodies = [json.loads(each["Message"]) for each in envelopes]
    (test,) = (each for each in bodies if "Event" in each)
    assert {name: test[name] for name in ("Service", "Event", "Bucket")} == {
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "to-topic",
    }  # fmt: skip
    (event,) = (each for each in bodies if "Records" in each)
    assert event["Records"][0]["s3"]["configurationId"] == "mine"


@pytest.mark.promise(138)
def test_a_queue_that_a_function_reads(server: Served, s3: Any) -> None:
    """As an event source mapping hands it on."""
    told = Told(server, "read-by-function")
    s3.put_object(Bucket=told.name, Key="k", Body=b"body")
    (message,) = received(told.sqs, told.url)
    event = sample("s3SqsEvent.json")
    event["Records"][0]["body"] = message["Body"]
    parse(model=S3SqsEventNotificationModel, event=event)


@pytest.mark.promise(138)
def test_the_default_bus(server: Served, s3: Any) -> None:
    events, sqs = server.client("events"), server.client("sqs")
    url, arn = queue(sqs, "of-bus")
    rule(events, "aws.s3", {"Arn": arn}, detail={"bucket": {"name": ["to-bus"]}})
    bucket(s3, "to-bus", EventBridgeConfiguration={})
    s3.put_object(Bucket="to-bus", Key="a key", Body=b"body")
    s3.put_object_tagging(Bucket="to-bus", Key="a key", Tagging=TAGS)
    s3.delete_object(Bucket="to-bus", Key="a key")
    found = {
        each["detail-type"]: each for each in (json.loads(each["Body"]) for each in received(sqs, url, 3))
    }
    assert set(found) == {"Object Created", "Object Tags Added", "Object Deleted"}
    for each in found.values():
        parse(model=S3EventNotificationEventBridgeModel, event=each)
    created, deleted = found["Object Created"], found["Object Deleted"]
    assert shape(created) == shape(sample("s3EventBridgeNotificationObjectCreatedEvent.json"))
    assert shape(deleted) == shape(sample("s3EventBridgeNotificationObjectDeletedEvent.json"))
    assert created["detail"]["object"]["key"] == "a key" and created["detail"]["reason"] == "PutObject"
    assert deleted["detail"]["deletion-type"] == "Permanently Deleted"


@pytest.mark.promise(139)
def test_a_configuration_is_kept_and_checked(server: Served, s3: Any) -> None:
    sqs = server.client("sqs")
    _, arn = queue(sqs, "kept")
    named = to_queue(arn, CREATED, prefix="a&<b") | {"Id": "mine"}
    bucket(s3, "configured", QueueConfigurations=[named], EventBridgeConfiguration={})
    found = s3.get_bucket_notification_configuration(Bucket="configured")
    found.pop("ResponseMetadata")
    rules = [{"Name": "Prefix", "Value": "a&<b"}]
    expected = {**named, "Filter": {"Key": {"FilterRules": rules}}}
    assert found == {"QueueConfigurations": [expected], "EventBridgeConfiguration": {}}
    none = to_queue(f"arn:aws:sqs:{REGION}:{ACCOUNT}:none")
    missing = {"Bucket": "configured", "NotificationConfiguration": {"QueueConfigurations": [none]}}
    assert refused(s3.put_bucket_notification_configuration, **missing)[0] == "InvalidArgument"
    overlap = {"QueueConfigurations": [to_queue(arn), to_queue(arn, prefix="a")]}
    code, message = refused(
        s3.put_bucket_notification_configuration, Bucket="configured", NotificationConfiguration=overlap
    )
    assert (code, message.split(".")[0]) == ("InvalidArgument", "Configuration is ambiguously defined")
    assert s3.get_bucket_notification_configuration(Bucket="configured")["QueueConfigurations"] == [expected]
    s3.put_bucket_notification_configuration(**missing, SkipDestinationValidation=True)
    configure(s3, "configured")
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="configured")
    absent = {"Bucket": "no-such-bucket", "NotificationConfiguration": {}}
    assert refused(s3.put_bucket_notification_configuration, **absent)[0] == "NoSuchBucket"
    # It goes with the bucket.
    configure(s3, "configured", EventBridgeConfiguration={})
    s3.delete_bucket(Bucket="configured")
    s3.create_bucket(Bucket="configured")
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket="configured")


@pytest.mark.promise(141)
def test_what_was_acknowledged_is_told_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("moto")
    server = Served(tmp_path / "state", "--aws", "moto")
    s3, sqs = server.client("s3"), server.client("sqs")
    _, arn = queue(sqs, "outlives")
    bucket(s3, "killed", QueueConfigurations=[to_queue(arn)])
    for n in range(50):
        s3.put_object(Bucket="killed", Key=f"{n}", Body=b"body")
    server.process.kill()
    server.process.communicate()
    server = Served(tmp_path / "state")
    found: set[str] = set()

    def all_there() -> bool:
        url = server.client("sqs").get_queue_url(QueueName="outlives")["QueueUrl"]
        more = server.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for each in more.get("Messages", ()):
            found.update(
                record["s3"]["object"]["key"] for record in json.loads(each["Body"]).get("Records", ())
            )
        return found == {f"{n}" for n in range(50)}

    until(all_there, 60)
    assert server.stop() == 0
