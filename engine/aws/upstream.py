"""Where the services are that this server does not have: at another endpoint, at moto's server, or at AWS."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import InvalidConfiguration
from .names import Place

# Botocore's names of services whose signatures name them otherwise; what is not here is called after its endpoint.
_NAMES = {
    "elasticfilesystem": "efs", "elasticloadbalancing": "elbv2", "elasticmapreduce": "emr", "iotdata": "iot-data",
    "mobiletargeting": "pinpoint", "monitoring": "cloudwatch", "servicequotas": "service-quotas",
    "states": "stepfunctions", "tagging": "resourcegroupstaggingapi",
}  # fmt: skip

_ADVISORY, _MANDATORY = 900.0, 600.0  # seconds before their end that credentials are renewed: botocore's
_PAUSE = 5.0  # seconds between two looks for others

T = TypeVar("T")


class Unreachable(Exception):
    """There is no endpoint of this service, for the reason that its text is."""


class Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """Raises InvalidConfiguration when it is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidConfiguration(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query:
            raise InvalidConfiguration(f"{url!r} is no endpoint: http://HOST:PORT is")
        return cls(parts.scheme, host, port)


class Upstream:
    """One endpoint of all those services ("http://127.0.0.1:5000"), which gets requests as they came; None: there is
    none. Raises InvalidConfiguration when it is no such URL."""

    resigns = False  # are requests signed again, with the user's own credentials?

    def __init__(self, url: str | None) -> None:
        self._url = url
        if url is not None:
            Origin.of(url)

    def __bool__(self) -> bool:
        return self._url is not None

    async def start(self) -> None:
        """Until it is there. Raises InvalidConfiguration."""

    async def endpoint(self, service: str, region: str) -> str:
        """A service's URL. service: as signatures name it, or botocore. Raises Unreachable."""
        if self._url is None:
            raise Unreachable(
                "is not served here; start the server with --aws or --aws-endpoint to have it passed on."
            )
        return self._url

    async def credentials(self, place: Place) -> Credentials:
        """For requests of the server's own: the user's, as SDKs find them in the environment; else an account's number,
        which emulators take for a key."""
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            return Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN"))
        return Credentials(place.account, "stoker")

    def refused(self, credentials: Credentials) -> bool:
        """A service did not take these. May there be others now?"""
        return False

    def headers(self, place: Place) -> dict[str, str]:
        """What a request carries beside its own."""
        return {}

    async def aclose(self) -> None:
        """The server ends."""


class Aws(Upstream):
    """AWS itself: botocore says where each service is and finds the user's credentials. own: this server's URL, to
    which no request is passed on. Raises InvalidConfiguration when there are no credentials."""

    resigns = True

    def __init__(self, own: Callable[[], str]) -> None:
        from botocore.session import get_session  # loads half of botocore, which most servers do without

        super().__init__(None)
        self._own = own
        self._session = get_session()
        self._endpoints: dict[tuple[str, str], str] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stoker-aws")  # botocore's session is for one
        self._kept: Credentials | None = None  # as they were looked up last
        self._renewing: asyncio.Task[None] | None = None
        self._next = 0.0  # when to look again at the earliest, monotonic
        self._anew = False
        self._trouble = ""
        try:
            self._found = self._session.get_credentials()
        except BotoCoreError as error:
            raise InvalidConfiguration(f"--aws real: {error}") from None
        if self._found is None:
            raise InvalidConfiguration(
                "--aws real: there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )

    def __bool__(self) -> bool:
        return True

    async def endpoint(self, service: str, region: str) -> str:
        if not service:
            raise Unreachable("cannot be passed on: the request is signed for none.")
        found = self._endpoints.get((service, region))
        if found is None:
            found = await self._in_thread(lambda: self._resolved(service, region))
            self._endpoints[service, region] = found
        if urlsplit(found).netloc == urlsplit(self._own()).netloc:
            raise Unreachable(
                "has this server as its endpoint: unset AWS_ENDPOINT_URL where the server is started."
            )
        return found

    def _resolved(self, service: str, region: str) -> str:
        name = _NAMES.get(service, service)
        try:
            if name in self._session.get_available_services():
                url = self._session.create_client(name, region_name=region).meta.endpoint_url
            else:
                url = f"https://{name}.{region}.amazonaws.com"
            Origin.of(url)
        except (BotoCoreError, ValueError) as error:
            raise Unreachable(f"could not be found: {error}") from error
        return str(url)

    async def credentials(self, place: Place) -> Credentials:
        """As they were looked up last; anew before they expire, which nobody waits for while they last, and after a
        service refused them."""
        if self._kept is None or self._ends_within(_ADVISORY):
            if self._renewing is None and (self._kept is None or time.monotonic() >= self._next):
                self._renewing = asyncio.get_running_loop().create_task(self._renew())
            if self._renewing is not None and (self._kept is None or self._ends_within(_MANDATORY)):
                await asyncio.shield(self._renewing)
        if self._kept is None:
            raise Unreachable(f"has no credentials: {self._trouble}")
        return self._kept

    def refused(self, credentials: Credentials) -> bool:
        kept = self._kept
        if kept is None or kept.access_key != credentials.access_key or kept.token != credentials.token:
            return True  # they are others already
        if self._renewing is not None or time.monotonic() < self._next:
            return False
        self._kept, self._anew = None, True
        return True

    def _ends_within(self, seconds: float) -> bool:
        """Only credentials of a role do."""
        needed = getattr(self._found, "refresh_needed", None)
        return needed is not None and bool(needed(seconds))

    async def _renew(self) -> None:
        try:
            self._kept = await self._in_thread(self._frozen)
        except Unreachable as reason:
            self._trouble = str(reason)
        finally:
            self._renewing = None
            self._next = time.monotonic() + _PAUSE

    def _frozen(self) -> Credentials:
        try:
            if self._anew:  # a profile may have others by now, which botocore's session reads once
                from botocore.session import get_session

                self._found, self._anew = get_session().get_credentials() or self._found, False
            assert self._found is not None
            frozen = self._found.get_frozen_credentials()  # those of a role are renewed here
        except (BotoCoreError, ClientError) as error:
            raise Unreachable(str(error)) from error
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False)
