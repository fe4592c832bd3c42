"""SNS by boto3: HTTP endpoints that subscribe, confirm, and are retried."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from delivered import queue, received, refused, subscribed, topic
from served import Served
from support import until

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Receiver:
    """An HTTP endpoint. statuses: of its next responses, then 200."""

    url: str
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def nth(self, n: int) -> tuple[dict[str, str], str]:
        until(lambda: len(self.requests) > n, 60, f"{n + 1} requests")
        return self.requests[n]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            it.requests.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(it.statuses.pop(0) if it.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield it
    server.shutdown()
    thread.join()
    server.server_close()


def policy(retries: int) -> str:
    """So many retries, at once."""
    return json.dumps({"healthyRetryPolicy": {"numRetries": retries, "numNoDelayRetries": retries}})


@pytest.mark.promise(131)
def test_an_http_endpoint_confirms_and_gets_messages(sns: Any, name: str, receiver: Receiver) -> None:
    its = topic(sns, name)
    made = sns.subscribe(TopicArn=its, Protocol="http", Endpoint=receiver.url)
    assert made["SubscriptionArn"] == "pending confirmation"
    sns.publish(TopicArn=its, Message="too early")
    headers, body = receiver.nth(0)
    asked = json.loads(body)
    assert headers["x-amz-sns-message-type"] == asked["Type"] == "SubscriptionConfirmation"
    assert headers["x-amz-sns-topic-arn"] == asked["TopicArn"] == its
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=its)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    query = parse_qs(urlsplit(asked["SubscribeURL"]).query)
    assert query["Token"] == [asked["Token"]]
    with urllib.request.urlopen(asked["SubscribeURL"]) as response:  # unsigned
        arn = re.search(rb"<SubscriptionArn>(.*)</SubscriptionArn>", response.read())[1].decode()  # type: ignore[index]
    assert (
        sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "false"
    )
    id = sns.publish(TopicArn=its, Message="m", Subject="s")["MessageId"]
    headers, body = receiver.nth(1)
    assert (headers["x-amz-sns-message-type"], headers["x-amz-sns-message-id"]) == ("Notification", id)
    assert headers["x-amz-sns-subscription-arn"] == arn
    notified = json.loads(body)
    assert (notified["Message"], notified["Subject"], notified["MessageId"]) == ("m", "s", id)
    sns.set_subscription_attributes(
        SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    sns.publish(TopicArn=its, Message="raw")
    headers, body = receiver.nth(2)
    assert (headers["x-amz-sns-rawdelivery"], body) == ("true", "raw")
    with urllib.request.urlopen(notified["UnsubscribeURL"]) as response:
        assert response.status == 200
    assert sns.list_subscriptions_by_topic(TopicArn=its)["Subscriptions"] == []
    assert json.loads(receiver.nth(3)[1])["Type"] == "UnsubscribeConfirmation"
    assert sns.get_topic_attributes(TopicArn=its)["Attributes"]["SubscriptionsDeleted"] == "1"


@pytest.mark.promise(131)
def test_a_link_does_nothing_but_what_it_is_for(server: Served, sns: Any, name: str) -> None:
    its = topic(sns, name)
    link = f"{server.url}/_stoker/sns?Action=DeleteTopic&Version=2010-03-31&TopicArn={its}"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(link)
    body = f"Action=DeleteTopic&Version=2010-03-31&TopicArn={its}".encode()
    link = f"{server.url}/_stoker/sns?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={its}:1"
    request = urllib.request.Request(link, body, method="GET")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request)
    assert sns.get_topic_attributes(TopicArn=its)["Attributes"]["TopicArn"] == its


@pytest.mark.promise(131)
def test_what_an_endpoint_does_not_take_is_retried_and_then_a_dead_letter(
    sns: Any, sqs: Any, name: str, receiver: Receiver
) -> None:
    url, dead = queue(sqs, name)
    its = topic(sns, name)
    arn = subscribed(
        sns, its, "http", receiver.url, DeliveryPolicy=policy(2),
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead}),
    )  # fmt: skip
    token = json.loads(receiver.nth(0)[1])["Token"]
    assert refused(sns.confirm_subscription, TopicArn=its, Token="0" * 20)[0] == "InvalidParameter"
    assert sns.confirm_subscription(TopicArn=its, Token=token)["SubscriptionArn"] == arn
    receiver.statuses[:] = [500, 429]
    sns.publish(TopicArn=its, Message="third time")
    assert [json.loads(receiver.nth(n)[1])["Message"] for n in (1, 2, 3)] == ["third time"] * 3
    receiver.statuses[:] = [404]
    sns.publish(TopicArn=its, Message="refused")
    (letter,) = received(sqs, url)
    assert json.loads(letter["Body"])["Message"] == "refused"
    found = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert found["ErrorCode"] == "404"
    assert "status 404" in found["ErrorMessage"]
    assert UUID.fullmatch(found["RequestID"])
    receiver.statuses[:] = [500, 500, 503]
    sns.publish(TopicArn=its, Message="exhausted")
    (letter,) = received(sqs, url)
    assert (json.loads(letter["Body"])["Message"], len(receiver.requests)) == ("exhausted", 8)
