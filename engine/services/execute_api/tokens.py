"""JSON Web Tokens, as JWT authorizers check them: by the keys of their issuer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ... import wire
from .outgoing import Outgoing, Unreachable
from .responses import Refused

KEEP = 7200.0  # seconds that an issuer's keys are kept, as on AWS
AGAIN = 10.0  # seconds before they are asked for again, because of a key that is not among them
_FETCH = 10.0
_MOST = 100  # issuers whose keys are kept
_ALGORITHMS = ["RS256", "RS384", "RS512"]
Json = dict[str, Any]


class Tokens:
    """Belongs to the event loop."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._keys: dict[str, tuple[float, Any]] = {}  # by issuer: when they came (monotonic), and a KeySet

    async def claims(self, configuration: Mapping[str, Any], text: str, scopes: list[str] | None) -> Json:
        """The authorizer's "jwt" member of a request context. scopes: one of them is needed. Raises Refused."""
        issuer = configuration["Issuer"]
        token = text.removeprefix("Bearer ").removeprefix("bearer ").strip()
        found = await self._verified(issuer, token)
        self._check(found, issuer, configuration["Audience"])
        own = found.get("scope", found.get("scp"))
        granted = own.split() if isinstance(own, str) else [str(each) for each in own or ()]
        if scopes and not set(scopes) & set(granted):
            wanted = " ".join(scopes)
            text = f'Bearer scope="{wanted}" error="insufficient_scope" error_description="the token has none of them"'
            raise Refused("ACCESS_DENIED", [("www-authenticate", text)])
        claims = {name: _text(value) for name, value in found.items()}
        return {"claims": claims, "scopes": [each for each in granted if each in scopes] if scopes else None}

    async def _verified(self, issuer: str, token: str) -> Json:
        from joserfc import jwt
        from joserfc.errors import JoseError

        for fresh in (False, True):
            keys = await self._keys_of(issuer, fresh)
            try:
                return dict(jwt.decode(token, keys, algorithms=_ALGORITHMS).claims)
            except (JoseError, ValueError, TypeError, KeyError) as error:
                if fresh or not self._may_ask_again(issuer):
                    raise invalid(f"the token is not valid: {type(error).__name__}") from None
        raise AssertionError

    def _may_ask_again(self, issuer: str) -> bool:
        return time.monotonic() - self._keys[issuer][0] > AGAIN

    async def _keys_of(self, issuer: str, fresh: bool) -> Any:
        """Raises Refused."""
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        kept = self._keys.get(issuer)
        if kept is not None and not fresh and time.monotonic() - kept[0] < KEEP:
            return kept[1]
        try:
            found = await self._json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            keys = KeySet.import_key_set(await self._json(str(found["jwks_uri"])))  # type: ignore[arg-type]
        except (Unreachable, TimeoutError, JoseError, ValueError, KeyError, TypeError):
            raise invalid("OIDC discovery endpoint communication error") from None
        if len(self._keys) >= _MOST:
            self._keys.clear()
        self._keys[issuer] = time.monotonic(), keys
        return keys

    async def _json(self, url: str) -> Json:
        status, _, body = await self._outgoing.request(
            "GET", url, [("accept", "application/json")], b"", _FETCH
        )
        found = wire.decode(body)
        if status != 200 or not isinstance(found, dict):
            raise Unreachable(url)
        return found

    @staticmethod
    def _check(claims: Mapping[str, Any], issuer: str, audience: list[str]) -> None:
        """Raises Refused."""
        now = time.time()
        if claims.get("iss") != issuer:
            raise invalid("the issuer is not the authorizer's")
        own = claims.get("aud", claims.get("client_id"))
        if not set(own if isinstance(own, list) else [own]) & set(audience):
            raise invalid("the token does not have a valid audience")
        times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
        if any(not isinstance(value, int | float | None) for value in times.values()):
            raise invalid("the token's times are no numbers")
        if times["exp"] is None or times["exp"] <= now:
            raise invalid("the token has expired")
        if (times["nbf"] or 0) > now or (times["iat"] or 0) > now:
            raise invalid("the token is not valid yet")


def invalid(why: str) -> Refused:
    text = f'Bearer scope="" error="invalid_token" error_description="{why}"'
    return Refused("UNAUTHORIZED", [("www-authenticate", text)])


def _text(value: Any) -> str:
    """A claim as events have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(_text(each) for each in value)}]"
    return wire.encode(value).decode()
