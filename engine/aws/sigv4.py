"""Verification of AWS Signature Version 4: the Authorization header and the presigned query form.

A refusal is AWS's own: status 403, with the code and the message of AWS's front end. A request that is repeated word
for word while its signature lasts is accepted again, as AWS accepts it.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ..errors import InvalidConfiguration
from .canonical import ALGORITHM, Headers, canonical_request, sign, wire
from .faults import Fault
from .sessions import Session, Sessions

SKEW = 300.0  # seconds that a client's clock may be wrong
EXPIRES_MAX = 604_800  # seconds that a presigned URL may last
UNSIGNED = "UNSIGNED-PAYLOAD"
S3 = frozenset({"s3", "s3-outposts", "s3-object-lambda", "s3express"})
REGIONAL = frozenset({"lambda", "logs"})  # what is served here; others, passed on, may be of any region
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."
BASIC_FORMAT = re.compile(r"\d{8}T(?!24)\d{6}Z", re.ASCII)  # hour 24 is ISO's, not AWS's
SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
ACCOUNT = re.compile(r"\d{12}", re.ASCII)


class Denied(Fault):
    """A request whose signature is missing or does not hold."""

    status = 403


class Credential(NamedTuple):
    """A secret access key, the session token that must come with it (None: none may), and the key's account."""

    secret: str
    token: str | None = None
    account: str | None = None  # None: the file does not say


class Signed(NamedTuple):
    """What a request says of its own signature, read but not yet believed."""

    key: str
    scope: tuple[str, str, str]  # date (YYYYMMDD), region, service
    headers: tuple[str, ...]  # signed, lower-case, sorted
    signature: str
    stamp: str  # YYYYMMDDTHHMMSSZ
    time: float  # the same in epoch seconds
    token: str | None
    expires: float | None  # seconds; None in the header form


class Claim(NamedTuple):
    """A request whose signer is known, while its body may be still to come."""

    signed: Signed
    payload: (
        str | None
    )  # what the signature covers of the body, and was verified with; None: only the body says
    method: str
    raw_path: str
    raw_query: str
    headers: Headers
    secret: str
    session: Session | None  # whose credentials it is signed with, when the server made them


def load_credentials(path: str | Path) -> dict[str, Credential]:
    """The allowed access keys from a file like ~/.aws/credentials, one a profile.

    Raises InvalidConfiguration when it cannot be read, a profile is incomplete, or no profile has a key.
    """
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InvalidConfiguration(f"cannot read the credentials in {path}: {error}") from error
    found: dict[str, Credential] = {}
    for name in parser.sections():
        profile = parser[name]
        key, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
        account = profile.get("aws_account_id")
        if not key and not secret:
            continue
        if not key or not secret:
            raise InvalidConfiguration(
                f"profile {name} in {path} needs both aws_access_key_id and aws_secret_access_key"
            )
        if account and not ACCOUNT.fullmatch(account):
            raise InvalidConfiguration(
                f"profile {name} in {path}: aws_account_id={account}: an account id has twelve digits"
            )
        found[key] = Credential(secret, profile.get("aws_session_token") or None, account or None)
    if not found:
        raise InvalidConfiguration(f"{path} has no profile with aws_access_key_id and aws_secret_access_key")
    return found


class Verifier:
    """Says who signed a request. `region` is what requests for the services here must be signed for (None: any);
    `clock` gives epoch seconds."""

    def __init__(
        self,
        credentials: Mapping[str, str | Credential],
        *,
        region: str | None,
        clock: Callable[[], float] = time.time,
        sessions: Sessions | None = None,
    ) -> None:
        """sessions: whose credentials hold, too."""
        self._credentials = {
            key: Credential(value) if isinstance(value, str) else value for key, value in credentials.items()
        }
        self._sessions = sessions
        self._region = region
        self._clock = clock

    def verify(
        self,
        method: str,
        raw_path: str,
        raw_query: str,
        headers: Headers,
        body: bytes | None,
        *,
        service: str = "lambda",
    ) -> str:
        """The access key that signed the request for `service`; raises Denied.

        Path, query and headers as on the wire, decoded as Latin-1. A body of None is still to be streamed, to S3 only:
        the signature covers its declared hash, and whether the two agree is for the receiver to see.
        """
        claim = self.look(method, raw_path, raw_query, headers, service=service)
        return self.confirm(claim, body)

    def look(
        self, method: str, raw_path: str, raw_query: str, headers: Headers, *, service: str = "lambda"
    ) -> Claim:
        """All that can be verified before the body is there: who signs, when and for what; and the signature itself,
        where a header declares the body's hash. Raises Denied."""
        signed = _read(raw_query, headers)
        credential, session = self._credentials.get(signed.key), None
        if credential is None and self._sessions is not None:
            session = self._sessions.find(signed.key, signed.token)
            if session is not None:
                credential = Credential(session.secret, session.token, session.account)
        if credential is None or not _same(signed.token or "", credential.token or ""):
            raise Denied("UnrecognizedClientException", INVALID_TOKEN)
        self._check_scope(signed, service)
        self._check_time(signed)
        _check_headers(signed, headers)
        claim = Claim(
            signed, _declared(signed, headers), method, raw_path, raw_query, headers, credential.secret, session
        )  # fmt: skip
        if claim.payload is not None:
            self._check_signature(claim, claim.payload)
        return claim

    def confirm(self, claim: Claim, body: bytes | None) -> str:
        """The rest, with the body: the access key that signed. Raises Denied."""
        of_s3 = claim.signed.scope[2] in S3
        if body is None:
            if not of_s3:
                raise _mismatch()
        elif not of_s3 or SIGNATURE.fullmatch(claim.payload or ""):
            actual = hashlib.sha256(body).hexdigest()
            if claim.payload is None:
                self._check_signature(claim, actual)
            elif not _same(claim.payload, actual):
                raise _mismatch()
        return claim.signed.key

    def _check_signature(self, claim: Claim, payload: str) -> None:
        signed, raw_query = claim.signed, claim.raw_query
        if signed.expires is not None:
            raw_query = "&".join(p for p in raw_query.split("&") if not p.startswith("X-Amz-Signature="))
        request = canonical_request(
            claim.method, claim.raw_path, raw_query, claim.headers, signed.headers, payload,
            s3=signed.scope[2] in S3,
        )  # fmt: skip
        if not _same(sign(claim.secret, signed.stamp, signed.scope, request), signed.signature):
            raise _mismatch()

    def _check_scope(self, signed: Signed, service: str) -> None:
        date, region, signed_service = signed.scope
        wrong = ""
        if self._region is not None and service in REGIONAL and region != self._region:
            wrong += "Credential should be scoped to a valid region. "
        if signed_service != service:
            wrong += f"Credential should be scoped to correct service: '{service}'. "
        if signed.stamp[:8] != date:
            wrong += (
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{date}' != '{signed.stamp[:8]}', from '{signed.stamp}'. "
            )
        if wrong:
            raise _mismatch(wrong)

    def _check_time(self, signed: Signed) -> None:
        now = self._clock()
        made = signed.time
        age = SKEW if signed.expires is None else signed.expires
        minutes = f"{age / 60:g} min."
        if made + age < now:
            raise _mismatch(
                f"Signature expired: {signed.stamp} is now earlier than {_stamp(now - age)} "
                f"({_stamp(now)} - {minutes})"
            )
        if made > now + SKEW:
            raise _mismatch(
                f"Signature not yet current: {signed.stamp} is still later than {_stamp(now + SKEW)} "
                f"({_stamp(now)} + {SKEW / 60:g} min.)"
            )


def _read(raw_query: str, headers: Headers) -> Signed:
    authorization = _values(headers, "authorization")
    query = _auth_parameters(raw_query)
    if authorization:
        return _read_header(authorization, headers)
    if "X-Amz-Signature" in query or "X-Amz-Credential" in query:
        return _read_query(query)
    raise Denied("MissingAuthenticationTokenException", "Missing Authentication Token")


def _read_header(authorization: list[str], headers: Headers) -> Signed:
    text = authorization[0]
    digest = base64.b64encode(hashlib.sha256(wire(text)).digest()).decode()
    header = f"Authorization header (hashed with SHA-256 and encoded with Base64): '{digest}'."
    algorithm, _, rest = text.strip().partition(" ")
    if algorithm != ALGORITHM or len(authorization) > 1:
        raise _incomplete(f"Unsupported AWS 'algorithm' in {header}")
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in parts:
            raise _incomplete(f"Invalid key=value pair (missing equal-sign) in {header}")
        parts[name] = value
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    ]
    stamp = _values(headers, "x-amz-date") or [_basic(value) for value in _values(headers, "date")]
    if not stamp:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing:
        raise _incomplete(" ".join([*missing, header]))
    token = _values(headers, "x-amz-security-token")
    return _signed(
        parts["Credential"], parts["SignedHeaders"], parts["Signature"], ",".join(stamp), token, None
    )


def _read_query(query: dict[str, list[str]]) -> Signed:
    if query.get("X-Amz-Algorithm") != [ALGORITHM]:
        raise _incomplete("AWS query-string parameters must include 'X-Amz-Algorithm'.")
    names = ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires")
    for name in names:
        if len(query.get(name, ())) != 1 or not query[name][0]:
            raise _incomplete(f"AWS query-string parameters must include '{name}'.")
    (credential,), (signature,), (signed_headers,), (stamp,), (expires,) = (query[name] for name in names)
    if not (expires.isascii() and expires.isdigit() and len(expires) < 8 and int(expires) <= EXPIRES_MAX):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds of at most {EXPIRES_MAX}")
    token = query.get("X-Amz-Security-Token", [])
    return _signed(credential, signed_headers, signature, stamp, token, float(expires))


def _signed(
    credential: str, signed_headers: str, signature: str, stamp: str, token: list[str], expires: float | None
) -> Signed:
    scope = credential.split("/")
    if len(scope) != 5:
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{credential}'"
        )
    if scope[4] != "aws4_request":
        raise _mismatch(
            f"Credential should be scoped with a valid terminator: 'aws4_request', not '{scope[4]}'. "
        )
    when = _moment(stamp)
    if when is None:
        raise _incomplete(
            f"Date must be in ISO-8601 'basic format'. Got '{stamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )
    if len(token) > 1 or not SIGNATURE.fullmatch(signature):
        raise _mismatch()
    names = tuple(sorted({name.lower() for name in signed_headers.split(";")}))
    key, date, region, service, _ = scope
    session = token[0] if token else None
    return Signed(key, (date, region, service), names, signature, stamp, when, session, expires)


def _check_headers(signed: Signed, headers: Headers) -> None:
    """Host (one of it) and every x-amz-* header must be signed, so that nobody adds one on the way."""
    present = {name.lower() for name, _ in headers}
    if len(_values(headers, "host")) != 1 or "host" not in signed.headers:
        raise _mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in sorted(present - set(signed.headers)):
        if name.startswith("x-amz-"):
            raise _mismatch(f"'{name.title()}' must be a 'SignedHeader' in the AWS Authorization.")


def _declared(signed: Signed, headers: Headers) -> str | None:
    """What the signature says of the body, where the headers tell. Only S3 may leave it unsigned or stream it; for
    every other service it is the body's own hash, whatever a header claims."""
    declared = _values(headers, "x-amz-content-sha256")
    if signed.scope[2] in S3:
        return declared[0] if declared else UNSIGNED if signed.expires is not None else ""
    if any(value != declared[0] or not SIGNATURE.fullmatch(value) for value in declared):
        raise _mismatch()
    return declared[0] if declared else None


def _auth_parameters(raw_query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in raw_query.split("&"):
        if pair.startswith("X-Amz-"):
            name, _, value = pair.partition("=")
            found.setdefault(name, []).append(unquote_to_bytes(value).decode("latin-1"))
    return found


def _values(headers: Headers, wanted: str) -> list[str]:
    return [value.strip() for name, value in headers if name.lower() == wanted]


def _basic(date: str) -> str:
    """A Date header in the basic form, whichever of HTTP's and ISO's it has."""
    if BASIC_FORMAT.fullmatch(date):
        return date
    try:
        return parsedate_to_datetime(date).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        return date


def _moment(stamp: str) -> float | None:
    """YYYYMMDDTHHMMSSZ in epoch seconds; None when it is no such time."""
    try:
        return datetime.fromisoformat(stamp).timestamp() if BASIC_FORMAT.fullmatch(stamp) else None
    except ValueError:
        return None


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(wire(one), wire(other))


def _mismatch(message: str = MISMATCH) -> Denied:
    return Denied("InvalidSignatureException", message)


def _incomplete(message: str) -> Denied:
    return Denied("IncompleteSignatureException", message)
