"""The door: who sent a request, in which region and account, and whether it may come in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from ..aws.faults import Fault
from ..aws.messages import Request
from ..aws.names import Place
from ..aws.service import Access, Caller
from ..aws.sessions import Sessions
from ..aws.sigv4 import Claim, Verifier
from .browsers import Browsers

_SCOPE = re.compile(r"Credential=([^/,&\s]+)/\d{8}/([^/,&]+)/", re.ASCII)
_REGION = re.compile(r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_PLACES_KEPT = 10_000


class Door:
    """Tells a request's caller by its signature. Without a verifier a signature is believed, and none is needed.

    The region is the signature's; the account is the access key's, if that is an account's number, or that which the
    credentials file gives the key. What it does not name is `default`'s."""

    def __init__(
        self,
        default: Place,
        verifier: Verifier | None,
        accounts: Mapping[str, str],
        browsers: Browsers,
        sessions: Sessions | None = None,
    ) -> None:
        """accounts: by access key, as the credentials file has them; sessions: whose keys are known without a verifier,
        too."""
        self.default = default
        self.browsers = browsers
        self._verifier = verifier
        self._accounts = accounts
        self._sessions = sessions
        self._callers: dict[str, Caller] = {}

    def check_page(self, request: Request) -> None:
        """Raises Fault for a request that a web page of another site has sent."""
        self.browsers.check(
            request.header("host"), request.header("origin"), request.header("sec-fetch-site")
        )

    def look(self, request: Request, service: str, access: Access) -> Claim | None:
        """What is known of a request for the service of that signing name before its body is there: raises Fault for
        one that no body could mend."""
        if access is Access.OPEN or self._verifier is None:
            return None
        return self._verifier.look(
            request.method, request.path, request.query, request.headers, service=service
        )

    def enter(self, request: Request, claim: Claim | None, body: bytes | None) -> Caller:
        """The caller of a request that was looked at; body: None while it is still to be streamed. Raises Fault."""
        if claim is not None and self._verifier is not None:
            self._verifier.confirm(claim, body)
            if session := claim.session:
                return Caller(
                    Place(self._region(claim.signed.scope[1]), session.account), session.key, session
                )
        return self.caller(
            request.header("authorization") or request.query, request.header("x-amz-security-token")
        )

    @property
    def guarded(self) -> bool:
        """Must requests be signed?"""
        return self._verifier is not None

    def caller(self, credential: str, token: str = "") -> Caller:
        """Whom an Authorization header or a presigned query names, with its session token if it has one."""
        # The signature behind the scope differs from request to request.
        scope = credential.partition(",")[0] if credential.startswith("AWS4") else unquote(credential)
        found = self._callers.get(scope)
        if found is None:
            found = self._read(scope, token)
            if len(self._callers) >= _PLACES_KEPT:
                self._callers.clear()
            self._callers[scope] = found
        return found

    def _read(self, scope: str, token: str) -> Caller:
        match = _SCOPE.search(scope)
        if match is None:
            return Caller(self.default)
        key, region = match[1], match[2]
        region = self._region(region)
        if self._sessions is not None and token and (session := self._sessions.find(key, token)):
            return Caller(Place(region, session.account), key, session)
        account = self._accounts.get(key) or (key if _ACCOUNT.fullmatch(key) else self.default.account)
        return Caller(Place(region, account), key)

    def _region(self, named: str) -> str:
        """The region that a signature is for. Raises Fault."""
        if _REGION.fullmatch(named):
            return named
        if self._verifier is not None:
            raise Fault("InvalidSignatureException", "Credential should be scoped to a valid region. ")
        return self.default.region
