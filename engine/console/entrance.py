"""Who may see the console where requests must be signed, which a browser cannot do: whoever has the link that the
server prints when it starts, once, or an access key and its secret. Then the browser has a cookie for some hours."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from ..aws.faults import Fault
from ..aws.messages import Request
from ..aws.names import Place

LINK_SECONDS = 15 * 60.0  # that the printed link may be used, once
SECONDS = 12 * 60 * 60.0  # that a browser is let in for
SESSIONS = 1_000  # at a time: beyond them the oldest ends
PATH = "/_stoker/"


@dataclass(frozen=True, slots=True)
class Visitor:
    """account: whose resources are shown; None: any's."""

    id: str
    account: str | None
    until: float = 0.0


_ANYBODY = Visitor("", None)


class Entrance:
    """Belongs to the event loop."""

    def __init__(
        self,
        secrets_by_key: Mapping[str, str] | None,
        accounts: Mapping[str, str],
        default: Place,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """secrets_by_key: None where nobody has to sign. accounts: those of access keys that have one of their own."""
        self._secrets = secrets_by_key
        self._accounts = accounts
        self._default = default
        self._clock = clock
        self._visitors: dict[str, Visitor] = {}
        self._link = secrets.token_urlsafe(32)
        self._link_until = clock() + LINK_SECONDS

    @property
    def guarded(self) -> bool:
        return self._secrets is not None

    @property
    def fragment(self) -> str:
        """What the printed link has behind the page's address; "": everybody may come in. A fragment is not sent: it is
        in no log and no Referer."""
        return f"#token={self._link}" if self.guarded else ""

    def visitor(self, request: Request) -> Visitor:
        """Raises Fault: MissingAuthenticationTokenException."""
        if not self.guarded:
            return _ANYBODY
        found = self._visitors.get(_cookie(request))
        if found is None or found.until < self._clock():
            raise Fault("MissingAuthenticationTokenException", "Sign in to see the console")
        return found

    def enter(self, request: Request, given: Mapping[str, Any]) -> str:
        """A Set-Cookie. given: a link's `token`, or `key` and `secret`. Raises Fault: AccessDeniedException."""
        account = self._account(given)
        if account is None:
            raise Fault("AccessDeniedException", "That is not, or is no longer, a way in")
        now = self._clock()
        self._visitors = {id: each for id, each in self._visitors.items() if each.until >= now}
        if len(self._visitors) >= SESSIONS:
            del self._visitors[next(iter(self._visitors))]
        id = secrets.token_urlsafe(32)
        self._visitors[id] = Visitor(id, account, now + SECONDS)
        return _set(request, id, int(SECONDS))

    def leave(self, request: Request) -> str:
        """A Set-Cookie that ends it."""
        self._visitors.pop(_cookie(request), None)
        return _set(request, "", 0)

    def _account(self, given: Mapping[str, Any]) -> str | None:
        token, key, secret = (given.get(name) for name in ("token", "key", "secret"))
        if isinstance(token, str):
            same = hmac.compare_digest(token.encode(), self._link.encode())
            if not same or not self._link_until or self._clock() > self._link_until:
                return None
            self._link_until = 0.0
            return self._default.account
        if isinstance(key, str) and isinstance(secret, str) and self._secrets is not None:
            wanted = self._secrets.get(key, "")
            if hmac.compare_digest(secret.encode(), wanted.encode()) and wanted:
                return self._accounts.get(key) or (
                    key if len(key) == 12 and key.isdigit() else self._default.account
                )
        return None


def _name(request: Request) -> str:
    """Of the cookie: browsers give one port's cookies to the others of a host."""
    return f"stoker-console-{request.header('host').rpartition(':')[2] or 'http'}".replace("]", "")


def _cookie(request: Request) -> str:
    try:
        found = SimpleCookie(request.header("cookie")).get(_name(request))
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _set(request: Request, value: str, seconds: int) -> str:
    return f"{_name(request)}={value}; Path={PATH}; Max-Age={seconds}; HttpOnly; SameSite=Strict"
