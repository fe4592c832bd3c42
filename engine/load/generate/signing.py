"""AWS Signature Version 4 for a generator: one kind of request, signed at a tenth of what botocore takes for it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "lambda"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is signed with. token: a session's, "" for none."""

    key: str
    secret: str
    region: str
    token: str = ""


def found() -> Credentials:
    """Those that botocore finds: of the environment, of ~/.aws, of the machine's role. Raises ValueError."""
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ValueError('signing needs botocore: pip install "stoker[serve]"') from None
    try:
        session = botocore.session.get_session()
        credentials = session.get_credentials()
        region = session.get_config_variable("region") or "us-east-1"
        if credentials is None:
            raise ValueError(
                "there are no credentials to sign with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        frozen = credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise ValueError(f"there are no credentials to sign with: {error}") from None
    return Credentials(frozen.access_key, frozen.secret_key, region, frozen.token or "")


class Signer:
    """Signs POSTs to one path of one host, without a query. `clock` gives epoch seconds."""

    def __init__(
        self, credentials: Credentials, host: str, path: str, clock: Callable[[], float] = time.time
    ) -> None:
        """host: as the Host header has it; path: encoded, as it is sent."""
        self._credentials = credentials
        self._clock = clock
        self._path = quote(path, safe="/~")  # what is encoded once on the wire is signed encoded twice
        self._host = host
        self._second = -1
        self._key = b""

    def headers(self, body: bytes) -> Mapping[str, str]:
        """Those that a request with this body needs besides the usual ones."""
        now = int(self._clock())
        if now != self._second:
            self._at(now)
        digest = hashlib.sha256(body).hexdigest()
        request = hashlib.sha256((self._canonical + digest).encode()).hexdigest()
        signature = hmac.new(self._key, (self._to_sign + request).encode(), hashlib.sha256).hexdigest()
        return {**self._fixed, "Authorization": self._authorization + signature}

    def _at(self, now: int) -> None:
        """What is the same for a whole second."""
        self._second = now
        credentials = self._credentials
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = (stamp[:8], credentials.region, SERVICE, "aws4_request")
        self._key = f"AWS4{credentials.secret}".encode()
        for part in scope:
            self._key = hmac.new(self._key, part.encode(), hashlib.sha256).digest()
        self._fixed = {"X-Amz-Date": stamp}
        if credentials.token:
            self._fixed["X-Amz-Security-Token"] = credentials.token
        signed = {"host": self._host, **{name.lower(): value for name, value in self._fixed.items()}}
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        names = ";".join(sorted(signed))
        self._canonical = f"POST\n{self._path}\n\n{lines}\n{names}\n"
        self._to_sign = f"{_ALGORITHM}\n{stamp}\n{'/'.join(scope)}\n"
        self._authorization = (
            f"{_ALGORITHM} Credential={credentials.key}/{'/'.join(scope)}, SignedHeaders={names}, Signature="
        )
