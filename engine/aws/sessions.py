"""Credentials that the server makes itself: of a role's session, as AWS gives each function's environments.

Nothing is kept of them: the session token says whose they are and carries the server's seal, and key id and secret
follow from it. The seal's own key is drawn when the server starts, so they are worth nothing after it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
from dataclasses import dataclass
from urllib.parse import quote, unquote

_SEAL = 32  # bytes


@dataclass(frozen=True, slots=True)
class Session:
    """An assumed role: the credentials, and whom they stand for."""

    key: str
    secret: str
    token: str
    account: str
    role: str  # its name
    name: str  # the session's

    @property
    def arn(self) -> str:
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role}/{self.name}"

    @property
    def user_id(self) -> str:
        return f"{_id('AROA', f'{self.account}/{self.role}'.encode(), 17)}:{self.name}"


class Sessions:
    """One server's."""

    def __init__(self) -> None:
        self._seal_key = os.urandom(_SEAL)
        self._read = functools.lru_cache(maxsize=1000)(self._opened)

    def issue(self, account: str, role: str, name: str) -> Session:
        """role: its name."""
        content = "/".join(quote(each, safe="") for each in (account, role, name)).encode()
        return self._made(content)

    def find(self, key: str, token: str | None) -> Session | None:
        """The session that a request names by its access key and session token; None: there is none such."""
        session = self._read(token) if token else None
        return session if session is not None and hmac.compare_digest(session.key, key) else None

    def _made(self, content: bytes) -> Session:
        token = base64.b64encode(self._seal(b"token", content) + content).decode()
        secret = base64.b64encode(self._seal(b"secret", content)).decode()[:40]
        key = _id("ASIA", self._seal(b"key", content), 16)
        account, role, name = (unquote(each) for each in content.decode().split("/"))
        return Session(key, secret, token, account, role, name)

    def _opened(self, token: str) -> Session | None:
        try:
            raw = base64.b64decode(token.encode("latin-1"), validate=True)
        except ValueError:
            return None
        seal, content = raw[:_SEAL], raw[_SEAL:]
        return self._made(content) if hmac.compare_digest(seal, self._seal(b"token", content)) else None

    def _seal(self, purpose: bytes, content: bytes) -> bytes:
        return hmac.digest(self._seal_key, purpose + b"\0" + content, "sha256")


def _id(prefix: str, seed: bytes, length: int) -> str:
    """An id as AWS forms them: letters and digits, made of a seed."""
    return prefix + base64.b32encode(hashlib.sha256(seed).digest()).decode()[:length]
