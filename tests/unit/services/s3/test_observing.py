"""What a request to S3 is for, and what its body says."""

from __future__ import annotations

import pytest

from engine.aws.messages import Request
from engine.hosting.permissions import permits
from engine.services.s3.addressing import target
from engine.services.s3.bodies import Deleted, deletions, form_key, is_error
from engine.services.s3.records import Sequencer, encoded


@pytest.mark.parametrize(
    ("line", "host", "headers", "expected"),
    [
        ("PUT /b/k%20ey/%C3%BC?x-id=PutObject", "h", {}, ("b", "k ey/ü", "PutObject")),
        ("PUT /k", "b.s3.localhost:9001", {}, ("b", "k", "PutObject")),
        ("PUT /k", "b.localhost", {}, ("b", "k", "PutObject")),
        ("PUT /k", "b.c.s3.eu-west-1.amazonaws.com", {}, ("b.c", "k", "PutObject")),
        ("PUT /b/k", "s3.eu-west-1.amazonaws.com", {}, ("b", "k", "PutObject")),
        ("PUT /b/k", "s3.localhost", {}, ("b", "k", "PutObject")),
        ("PUT /b/k", "h", {"x-amz-copy-source": "/a/b"}, ("b", "k", "CopyObject")),
        ("PUT /b/k?partNumber=1&uploadId=2", "h", {}, ("b", "k", "UploadPart")),
        ("PUT /b/k?partNumber=1&uploadId=2", "h", {"x-amz-copy-source": "a"}, ("b", "k", "UploadPartCopy")),
        ("PUT /b/k?X-Amz-Signature=1&X-Amz-Date=2", "h", {}, ("b", "k", "PutObject")),
        ("PUT /b/k?tagging", "h", {}, ("b", "k", "PutObjectTagging")),
        ("PUT /b/k?retention", "h", {}, ("b", "k", "")),
        ("PUT /b/k?unheard-of", "h", {}, ("b", "k", "")),
        ("POST /b/k?uploadId=1", "h", {}, ("b", "k", "CompleteMultipartUpload")),
        ("POST /b/k?restore&versionId=3", "h", {}, ("b", "k", "RestoreObject")),
        ("DELETE /b/k?versionId=3", "h", {}, ("b", "k", "DeleteObject")),
        ("DELETE /b/k?uploadId=3", "h", {}, ("b", "k", "AbortMultipartUpload")),
        ("GET /b/k?partNumber=1", "h", {}, ("b", "k", "GetObject")),
        ("GET /b?list-type=2&prefix=a%2F&encoding-type=url", "h", {}, ("b", "", "ListObjectsV2")),
        ("GET /b/", "h", {}, ("b", "", "ListObjects")),
        ("GET /b?policy", "h", {}, ("b", "", "")),
        ("POST /b?delete", "h", {}, ("b", "", "DeleteObjects")),
        ("POST /b", "h", {"content-type": "multipart/form-data; boundary=x"}, ("b", "", "PostObject")),
        ("PUT /b?notification", "h", {}, ("b", "", "PutBucketNotificationConfiguration")),
        ("GET /", "h", {}, ("", "", "ListBuckets")),
    ],
)
def test_targets(line: str, host: str, headers: dict[str, str], expected: tuple[str, str, str]) -> None:
    method, _, url = line.partition(" ")
    path, _, query = url.partition("?")
    assert target(Request(method, path, query, [("host", host), *headers.items()]))[:3] == expected


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ('name="key"\r\n\r\na b', "a b"),
        ('name="key"\r\n\r\nup/${filename}', "up/f.png"),
        ('name="acl"\r\n\r\nkey', ""),
    ],
)
def test_the_key_of_a_form(fields: str, key: str) -> None:
    parts = [
        fields,
        'name="file"; filename="C:\\d\\f.png"\r\nContent-Type: image/png\r\n\r\n\x89--xy',
        'name="key"\r\n\r\nz',
    ]
    head = "".join(f"--xyz\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--xyz--\r\n"
    assert form_key("multipart/form-data; boundary=xyz", head.encode("latin-1")) == key
    assert form_key("multipart/form-data", head.encode("latin-1")) == ""


def test_deletions() -> None:
    asked = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>1</VersionId></Object>{}</Delete>"
    done = (
        "<DeleteResult><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>9</DeleteMarkerVersionId>"
        "</Deleted><Deleted><Key>b</Key><VersionId>1</VersionId></Deleted></DeleteResult>"
    )
    found = deletions(asked.format("").encode(), done.encode())
    assert found == [Deleted("a", "9", True), Deleted("b", "1", False)]
    errors = "<DeleteResult><Error><Key>b</Key><VersionId>1</VersionId><Code>AccessDenied</Code></Error></DeleteResult>"
    assert deletions(asked.format("<Quiet>true</Quiet>").encode(), errors.encode()) == [
        Deleted("a", "", False)
    ]


def test_errors_behind_a_success() -> None:
    assert is_error(b'\n<?xml version="1.0"?>\n<Error><Code>x</Code></Error>')
    assert not is_error(b"<CopyObjectResult/>") and not is_error(b"")


def test_keys_and_sequencers() -> None:
    assert encoded("a b/ü+%&*.jpg") == "a+b/%C3%BC%2B%25%26*.jpg"
    sequencer = Sequencer()
    found = [sequencer.next() for _ in range(1000)]
    assert found == sorted(set(found)) and {len(each) for each in found} == {18}


STATEMENT = {
    "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "lambda:InvokeFunction",
    "Condition": {
        "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b*"}, "StringEquals": {"AWS:SourceAccount": "000000000000"},
    },
}  # fmt: skip


@pytest.mark.promise(140)
@pytest.mark.parametrize(
    ("changed", "permitted"),
    [
        ({}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}}, True),
        ({"Action": ["lambda:*"]}, True),
        ({"Condition": {}}, True),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::000000000000:root"}}, False),
        ({"Action": "lambda:GetFunction"}, False),
        ({"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::other"}}}, False),
        ({"Condition": {"StringEquals": {"AWS:SourceAccount": "111111111111"}}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, False),
        ({"Condition": {"StringNotEquals": {"AWS:SourceAccount": "000000000000"}}}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_whom_a_functions_policy_lets_in(changed: dict[str, object], permitted: bool) -> None:
    record = {"Document": {"Statement": [{**STATEMENT, **changed}]}}
    assert permits(record, "s3.amazonaws.com", "arn:aws:s3:::bucket", "000000000000") is permitted
    assert not permits(None, "s3.amazonaws.com", "arn:aws:s3:::bucket", "000000000000")
