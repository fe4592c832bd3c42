"""boto3 against SQS here, in both of its protocols: each operation of the model, and errors as AWS's were recorded."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.exceptions import ClientError
from served import Served
from sqs_clients import client
from support import until

from engine.services.sqs.protocols import VERSION

ARN = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture(scope="module", params=["json", "query"])
def sqs(request: pytest.FixtureRequest, server: Served, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = client(server.url, request.param, tmp_path_factory.mktemp("models"))
    made.protocol = request.param
    return made


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return "".join(each if each.isalnum() else "-" for each in request.node.name)[-60:]


@pytest.fixture
def url(sqs: Any, name: str) -> Iterator[str]:
    made = sqs.create_queue(QueueName=name)["QueueUrl"]
    yield made
    sqs.delete_queue(QueueUrl=made)


def one(sqs: Any, url: str, **more: Any) -> dict[str, Any]:
    found = sqs.receive_message(
        QueueUrl=url,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
        WaitTimeSeconds=5,
        **more,
    )
    (message,) = found["Messages"]
    return dict(message)


def test_every_operation_of_the_model(sqs: Any, name: str) -> None:
    called: set[str] = set()
    sqs.meta.events.register("before-call.sqs", lambda model, **_: called.add(model.name))
    attributes = {"RedriveAllowPolicy": json.dumps({"redrivePermission": "allowAll"})}
    dead = sqs.create_queue(QueueName=f"{name}-dead", Attributes=attributes, tags={"made": "with"})[
        "QueueUrl"
    ]
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert {url, dead} <= set(sqs.list_queues(QueueNamePrefix=name, MaxResults=1000)["QueueUrls"])
    policy = {"deadLetterTargetArn": f"{ARN}{name}-dead", "maxReceiveCount": 1}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (shown["QueueArn"], json.loads(shown["RedrivePolicy"])) == (ARN + name, policy)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    assert sqs.list_queue_tags(QueueUrl=dead)["Tags"] == {"made": "with"}
    actions = {
        "AWSAccountIds": ["111122223333", "222233334444"],
        "Actions": ["SendMessage", "ReceiveMessage"],
    }
    sqs.add_permission(QueueUrl=url, Label="l", **actions)
    sqs.remove_permission(QueueUrl=url, Label="l")

    own = {"text": {"DataType": "String", "StringValue": "<ü&>"}, "n": {"DataType": "Number", "StringValue": "1.5"},
           "bytes": {"DataType": "Binary.png", "BinaryValue": b"\0\xff"}}  # fmt: skip
    trace = {
        "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    }
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="<body>\r\n ü", MessageAttributes=own, MessageSystemAttributes=trace
    )
    assert sent["MD5OfMessageSystemAttributes"]
    message = one(sqs, url)
    assert (message["Body"], message["MessageAttributes"]) == ("<body>\r\n ü", own)  # boto3 checks the MD5s
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)  # a dead letter now
    until(lambda: sqs.get_queue_attributes(
        QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
        == {"ApproximateNumberOfMessages": "1"})  # fmt: skip
    handle = sqs.start_message_move_task(SourceArn=f"{ARN}{name}-dead", MaxNumberOfMessagesPerSecond=500)[
        "TaskHandle"
    ]
    until(
        lambda: (
            sqs.list_message_move_tasks(SourceArn=f"{ARN}{name}-dead")["Results"][0]["Status"] == "COMPLETED"
        )
    )
    with pytest.raises(ClientError):
        sqs.cancel_message_move_task(TaskHandle=handle)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "30", "RedrivePolicy": ""})
    message = one(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    message = one(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    entries = [
        {"Id": str(number), "MessageBody": f"m{number}", "MessageAttributes": own} for number in range(9)
    ]
    found = sqs.send_message_batch(QueueUrl=url, Entries=[*entries, {"Id": "bad", "MessageBody": "\0"}])
    assert [each["Id"] for each in found["Successful"]] == [str(number) for number in range(9)]
    assert [(each["Id"], each["Code"], each["SenderFault"]) for each in found["Failed"]] == [
        ("bad", "InvalidMessageContents", True)
    ]
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [each["Body"] for each in got] == [f"m{number}" for number in range(9)]
    handles = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(got)]
    changed = sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{**each, "VisibilityTimeout": 60} for each in handles]
    )
    assert len(changed["Successful"]) == 9
    deleted = sqs.delete_message_batch(
        QueueUrl=url, Entries=[*handles[:8], {"Id": "x", "ReceiptHandle": "x"}]
    )
    assert len(deleted["Successful"]) == 8
    assert [(each["Id"], each["Code"]) for each in deleted["Failed"]] == [("x", "ReceiptHandleIsInvalid")]
    sqs.purge_queue(QueueUrl=url)
    for made in (url, dead):
        sqs.delete_queue(QueueUrl=made)
    assert called == set(sqs.meta.service_model.operation_names)


def test_errors_are_awss(sqs: Any, url: str, name: str) -> None:
    """Codes, texts and statuses as LocalStack's maintainers recorded them of AWS in either protocol."""
    fifo = sqs.create_queue(QueueName=f"{name[-50:]}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    version = "" if sqs.protocol == "json" else " for this wsdl version"
    many = [{"Id": str(number), "MessageBody": "x"} for number in range(20)]
    for operation, members, code, text, status in (
        ("get_queue_url", {"QueueName": "nobody"}, "AWS.SimpleQueueService.NonExistentQueue",
         f"The specified queue does not exist{version}.", 400),
        ("receive_message", {"QueueUrl": url, "MaxNumberOfMessages": 11}, "InvalidParameterValue",
         "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", 400),
        ("receive_message", {"QueueUrl": url, "WaitTimeSeconds": 21}, "InvalidParameterValue",
         "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", 400),
        ("send_message", {"QueueUrl": url, "MessageBody": "x" * 1048577}, "InvalidParameterValue",
         "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.", 400),
        ("send_message", {"QueueUrl": url, "MessageBody": ""}, "MissingParameter",
         "The request must contain the parameter MessageBody.", 400),
        ("send_message", {"QueueUrl": url, "MessageBody": "x", "MessageAttributes": {
            "ErrorDetails": {"DataType": "String", "StringValue": ""}}}, "InvalidParameterValue",
         "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.", 400),
        ("send_message", {"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "group 123"}, "InvalidParameterValue",
         "Value group 123 for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include "
         "alphanumeric and punctuation characters. 1 to 128 in length.", 400),
        ("send_message", {"QueueUrl": fifo, "MessageBody": "x"}, "MissingParameter",
         "The request must contain the parameter MessageGroupId.", 400),
        ("send_message", {"QueueUrl": fifo, "MessageBody": "x", "MessageGroupId": "g"}, "InvalidParameterValue",
         "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
         400),
        ("send_message", {"QueueUrl": fifo, "MessageBody": "x", "MessageGroupId": "g", "DelaySeconds": 2,
                          "MessageDeduplicationId": "d"}, "InvalidParameterValue",
         "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for "
         "this queue type.", 400),
        ("send_message_batch", {"QueueUrl": url, "Entries": many},
         "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
         "Maximum number of entries per request are 10. You have sent 20.", 400),
        ("send_message_batch", {"QueueUrl": url, "Entries": [{"Id": "a.b", "MessageBody": "x"}]},
         "AWS.SimpleQueueService.InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, "
         "hyphens and underscores. It can be at most 80 letters long.", 400),
        ("send_message_batch", {"QueueUrl": url, "Entries": [
            {"Id": "a", "MessageBody": "x" * 1048576}, {"Id": "b", "MessageBody": "x"}]},
         "AWS.SimpleQueueService.BatchRequestTooLong",
         "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.", 400),
        ("delete_message_batch", {"QueueUrl": url, "Entries": []}, "AWS.SimpleQueueService.EmptyBatchRequest",
         "There should be at least one DeleteMessageBatchRequestEntry in the request.", 400),
        ("delete_message_batch", {"QueueUrl": url, "Entries": [{"Id": "a", "ReceiptHandle": "x"}] * 2},
         "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated.", 400),
        ("delete_message", {"QueueUrl": url, "ReceiptHandle": "garbage"}, "ReceiptHandleIsInvalid",
         'The input receipt handle "garbage" is not a valid receipt handle.', 404),
        ("set_queue_attributes", {"QueueUrl": url, "Attributes": {"FifoQueue": "true"}}, "InvalidAttributeName",
         "Unknown Attribute FifoQueue.", 400),
        ("create_queue", {"QueueName": name, "Attributes": {"DelaySeconds": "9"}}, "QueueAlreadyExists",
         "A queue already exists with the same name and a different value for attribute DelaySeconds", 400),
        ("list_message_move_tasks", {"SourceArn": ARN + "nobody"}, "ResourceNotFoundException",
         "The resource that you specified for the SourceArn parameter doesn't exist.", 404),
        ("receive_message", {"QueueUrl": "http://whatever-incorrect-queue-address"},
         "AWS.SimpleQueueService.NonExistentQueue", f"The specified queue does not exist{version}.", 400),
    ):  # fmt: skip
        with pytest.raises(ClientError) as raised:
            getattr(sqs, operation)(**members)
        response = raised.value.response
        error = response["Error"]
        found = (error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, text, status), operation
        assert error["Type"] == "Sender"
    sqs.purge_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress) as raised:
        sqs.purge_queue(QueueUrl=url)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    sqs.delete_queue(QueueUrl=fifo)


def test_fifo(sqs: Any, name: str) -> None:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    numbers = [
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId="g")["SequenceNumber"]
        for number in (1, 2, 1, 3)
    ]
    assert numbers[0] == numbers[2] and [len(number) for number in numbers] == [20] * 4
    assert [one(sqs, url)["Body"] for _ in range(1)] == ["1"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.delete_queue(QueueUrl=url)


def test_a_long_poll_is_woken_by_the_message(sqs: Any, url: str, server: Served, tmp_path: Path) -> None:
    other = client(server.url, sqs.protocol, tmp_path)
    with ThreadPoolExecutor(1) as thread:
        poll = thread.submit(one, sqs, url)
        assert not poll.done()
        other.send_message(QueueUrl=url, MessageBody="here")
        assert poll.result(20)["Body"] == "here"


def test_a_client_that_left_takes_no_message(sqs: Any, url: str, server: Served) -> None:
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port)) as connection:
        form = urlencode({"Action": "ReceiveMessage", "Version": VERSION, "WaitTimeSeconds": 20})
        head = f"POST {urlsplit(url).path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(form)}\r\n\r\n"
        connection.sendall(f"{head}{form}".encode())
        time.sleep(0)
        sqs.list_queues()  # what was sent before is read by now
    sqs.list_queues()
    sqs.send_message(QueueUrl=url, MessageBody="kept")
    assert one(sqs, url)["Body"] == "kept"


def test_plain_requests(url: str, server: Served) -> None:
    """As curl sends them: GET and POST, on the queue's URL, unsigned."""
    path = urlsplit(url).path
    query = f"Action=SendMessage&Version={VERSION}&MessageBody={quote('a b')}"
    with urllib.request.urlopen(f"{server.url}{path}?{query}") as response:
        assert b"<MD5OfMessageBody>" in response.read()
    form = urlencode({"Action": "ReceiveMessage", "Version": VERSION, "AttributeName": "All"}).encode()
    with urllib.request.urlopen(f"{server.url}{path}", form) as response:
        text = response.read().decode()
    assert "<Body>a b</Body>" in text and "<Name>SenderId</Name>" in text
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "AmazonSQS.ListQueues"})
    response = connection.getresponse()
    assert response.status == 200 and json.loads(response.read())["QueueUrls"]
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "AmazonSQS.SendMessage"})
    response = connection.getresponse()
    assert response.headers["x-amzn-query-error"] == "MissingParameter;Sender"
    assert json.loads(response.read()) == {
        "__type": "com.amazon.coral.service#MissingRequiredParameterException",
        "message": "The request must contain the parameter QueueUrl.",
    }
    connection.close()


def test_requests_behind_each_other_on_one_connection(server: Served) -> None:
    """Responses are in the order of requests, also behind one that waits, and a body may not grow without end."""
    at = urlsplit(server.url)
    sqs = client(server.url, "json", Path("unused"))
    url = sqs.create_queue(QueueName="pipelined")["QueueUrl"]

    def request(operation: str, **members: Any) -> bytes:
        body = json.dumps(members).encode()
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.{operation}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    with socket.create_connection((at.hostname, at.port), 30) as connection:
        connection.sendall(
            request("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
            + request("GetQueueUrl", QueueName="pipelined")
            + b"GET /_stoker/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        sqs.send_message(QueueUrl=url, MessageBody="first")
        data = b""
        while b"invocations" not in data:
            data += connection.recv(65536)
    assert data.index(b'"first"') < data.index(b"/pipelined") < data.index(b"invocations")
    connection = http.client.HTTPConnection(at.netloc, timeout=30)
    connection.request("POST", "/", b"x" * (9 << 20), {"X-Amz-Target": "AmazonSQS.SendMessage"})
    response = connection.getresponse()
    assert response.status == 413 and b"RequestEntityTooLarge" in response.read()
    connection.close()
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.slow
def test_pollers_do_not_hold_up_the_servers_end(tmp_path: Path) -> None:
    served = Served(tmp_path / "state")
    sqs = client(served.url, "json", tmp_path)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    with ThreadPoolExecutor(1) as thread:
        poll = thread.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        sqs.list_queues()
        begun = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - begun < 15
        assert "Messages" not in poll.result(5)
