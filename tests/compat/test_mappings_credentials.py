"""A mapping of a queue at an endpoint that asks for signatures, whose credentials are exchanged while it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapped import Fed, send
from served import REGION, Served
from support import until

ACCOUNT = "000000000000"


def profile(path: Path, key: str, secret: str) -> None:
    path.write_text(
        f"[default]\naws_access_key_id={key}\naws_secret_access_key={secret}\naws_account_id={ACCOUNT}\n"
    )


@pytest.mark.promise(275)
def test_a_mapping_recovers_once_its_credentials_are_exchanged(tmp_path: Path) -> None:
    allowed, own = tmp_path / "allowed", tmp_path / "own"
    profile(allowed, "AKIARIGHT", "secret")
    profile(own, "AKIAWRONG", "secret")
    behind = Served(tmp_path / "behind", "--auth", str(allowed))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL_SQS", behind.url)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(own))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        served = Served(tmp_path / "state", "--aws", "real")
    try:
        sqs = behind.client("sqs", aws_access_key_id="AKIARIGHT", aws_secret_access_key="secret")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
        fed = Fed(served, tmp_path)
        uuid = fed.map(arn)
        until(lambda: fed.result(uuid).startswith(f"PROBLEM: Cannot access queue {arn}."), 60, "the problem")
        send(sqs, url, "1")
        profile(own, "AKIARIGHT", "secret")
        until(lambda: fed.bodies() == ["1"], 60, "the message")
        until(lambda: fed.result(uuid) == "", 60, "no problem")
    finally:
        assert served.stop() == 0
        assert behind.stop() == 0
