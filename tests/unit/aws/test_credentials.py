"""The user's AWS credentials, as botocore finds them: renewed before they end, and looked for anew once refused."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.aws import upstream
from engine.aws.names import Place
from engine.aws.upstream import Aws, Unreachable

PLACE = Place("us-east-1", "000000000000")
# A credential_process whose credentials are numbered, and last for the seconds that a file says.
PROCESS = """
import datetime, json, pathlib
folder = pathlib.Path(__file__).parent
count = int((folder / "count").read_text()) + 1
(folder / "count").write_text(str(count))
ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=float((folder / "lasts").read_text()))
print(json.dumps({"Version": 1, "AccessKeyId": f"key-{count}", "SecretAccessKey": "secret", "SessionToken": "token",
                  "Expiration": ends.isoformat()}))
"""


def run(work: Callable[[Aws], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        aws = Aws(lambda: "http://127.0.0.1:1")
        try:
            return await work(aws)
        finally:
            await aws.aclose()

    return asyncio.run(whole())


async def key(aws: Aws) -> str:
    return (await aws.credentials(PLACE)).access_key


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's: a profile in files of the test's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(upstream, "_PAUSE", 0.0)


@pytest.fixture
def lasts(tmp_path: Path) -> Path:
    """Says how long credentials last."""
    (tmp_path / "process.py").write_text(PROCESS)
    (tmp_path / "count").write_text("0")
    (tmp_path / "config").write_text(
        f"[default]\ncredential_process = {sys.executable} {tmp_path / 'process.py'}\n"
    )
    return tmp_path / "lasts"


@pytest.mark.promise(270)
def test_what_lasts_is_looked_up_once(lasts: Path) -> None:
    lasts.write_text("3600")

    async def work(aws: Aws) -> list[str]:
        return [await key(aws) for _ in range(100)]

    assert run(work) == ["key-1"] * 100


@pytest.mark.promise(270)
def test_renewed_before_their_end_and_nobody_waits(lasts: Path) -> None:
    """Within their last quarter of an hour: in the background."""
    lasts.write_text("3600")

    async def work(aws: Aws) -> None:
        assert await key(aws) == "key-1"
        found: Any = aws._found
        found._expiry_time = found._time_fetcher().replace(microsecond=0) + timedelta(seconds=700)
        begin = time.perf_counter()
        assert await key(aws) == "key-1"
        assert time.perf_counter() - begin < 0.01  # the process takes longer
        assert aws._renewing is not None
        await aws._renewing
        assert await key(aws) == "key-2"

    run(work)


@pytest.mark.promise(270)
def test_what_is_about_to_end_is_waited_for(lasts: Path) -> None:
    lasts.write_text("30")
    assert run(key) == "key-2"  # botocore itself renews what it got with so short a life

    async def work(aws: Aws) -> None:
        first = await key(aws)
        lasts.write_text("3600")
        assert await key(aws) != first

    run(work)


@pytest.mark.promise(270)
def test_others_once_they_are_refused(tmp_path: Path) -> None:
    """A profile's, which the user has exchanged meanwhile."""

    def profile(name: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id={name}\naws_secret_access_key=secret\n"
        )

    profile("old")

    async def work(aws: Aws) -> None:
        refused = await aws.credentials(PLACE)
        assert refused.access_key == "old"
        profile("new")
        assert await key(aws) == "old"  # nobody said that they are not good any more
        assert aws.refused(refused)
        assert await key(aws) == "new"
        assert aws.refused(refused)  # who was late to hear tries with the new ones
        assert await key(aws) == "new"

    run(work)


@pytest.mark.promise(270)
def test_none_to_be_had(lasts: Path) -> None:
    lasts.write_text("3600")

    async def work(aws: Aws) -> None:
        refused = await aws.credentials(PLACE)
        lasts.unlink()
        assert aws.refused(refused)
        with pytest.raises(Unreachable, match="has no credentials"):
            await aws.credentials(PLACE)
        lasts.write_text("3600")
        assert await key(aws) == "key-3"

    run(work)
