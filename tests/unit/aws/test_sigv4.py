"""Signatures: whatever botocore signs is accepted; whatever is changed afterwards is refused; credentials files."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.sigv4 import Credential, Denied, Verifier, load_credentials
from engine.errors import InvalidConfiguration

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/session+token=="
VERIFIER = Verifier({KEY: SECRET, "ASIATOKEN": Credential(SECRET, TOKEN)}, region="eu-west-1")
Wire = tuple[str, str, str, list[tuple[str, str]], bytes]

segments = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
visible = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
header_names = st.from_regex(r"[Xx]-(amz|custom)-[a-z]{1,8}", fullmatch=True).filter(
    lambda name: name.lower() not in ("x-amz-date", "x-amz-security-token", "x-amz-content")
)


def on_the_wire(request: AWSRequest) -> Wire:
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = [(name, value) for name, value in prepared.headers.items() if name.lower() != "host"]
    text = [(name, value.decode() if isinstance(value, bytes) else value) for name, value in headers]
    return prepared.method, url.path, url.query, [("host", url.netloc), *text], prepared.body or b""


def signed(
    path: str = "/", query: dict[str, str] | None = None, headers: dict[str, str] | None = None, body: bytes = b"",
    *, signer: type[SigV4Auth] = SigV4Auth, service: str = "lambda", credentials: Credentials | None = None,
    method: str = "POST", **options: int,
) -> Wire:  # fmt: skip
    pairs = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in (query or {}).items()
    )
    url = f"http://127.0.0.1:9001{path}" + (f"?{pairs}" if pairs else "")
    request = AWSRequest(method, url, dict(headers or {}), body)
    signer(credentials or Credentials(KEY, SECRET), service, "eu-west-1", **options).add_auth(request)
    return on_the_wire(request)


def refused(wire: Wire, verifier: Verifier = VERIFIER, service: str = "lambda") -> Denied:
    with pytest.raises(Denied) as caught:
        verifier.verify(*wire, service=service)
    assert caught.value.status == 403
    return caught.value


@given(
    st.lists(segments, max_size=4),
    st.dictionaries(segments.filter(bool), segments, max_size=4),
    st.dictionaries(header_names, visible, max_size=3),
    st.binary(max_size=64),
)
def test_what_botocore_signs_is_accepted(
    path: list[str], query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    wire_path = "/" + "/".join(quote(segment, safe="~") for segment in path)
    headers = {name: value.strip() for name, value in headers.items()}
    if len({name.lower() for name in headers}) < len(headers):
        return
    wire = signed(wire_path.replace("//", "/"), query, headers, body)
    assert VERIFIER.verify(*wire) == KEY
    method, raw_path, raw_query, sent, sent_body = wire
    assert refused((method, raw_path, raw_query, sent, sent_body + b"!")).code == "InvalidSignatureException"
    assert refused((method, raw_path + "x", raw_query, sent, sent_body)).code == "InvalidSignatureException"
    assert (
        refused((method, raw_path, raw_query + "&x=1", sent, sent_body)).code == "InvalidSignatureException"
    )
    assert refused(("PUT", raw_path, raw_query, sent, sent_body)).code == "InvalidSignatureException"


@given(st.dictionaries(segments.filter(bool), segments, max_size=4))
def test_presigned_urls_are_accepted(query: dict[str, str]) -> None:
    query = {name: value for name, value in query.items() if value}
    wire = signed("/a%2Fb", query, signer=SigV4QueryAuth, method="GET")
    assert VERIFIER.verify(*wire) == KEY
    method, path, raw_query, headers, body = wire
    assert refused((method, path, raw_query + "&added=1", headers, body)).code == "InvalidSignatureException"


def test_a_presigned_url_runs_out() -> None:
    wire = signed(signer=SigV4QueryAuth, method="GET", expires=60)
    late = Verifier({KEY: SECRET}, region=None, clock=lambda: time.time() + 61.5)
    assert "is now earlier than" in (refused(wire, late).message or "")
    assert Verifier({KEY: SECRET}, region=None, clock=lambda: time.time() + 50).verify(*wire) == KEY
    longer = (wire[0], wire[1], wire[2].replace("Expires=60", "Expires=600"), wire[3], wire[4])
    assert refused(longer).code == "InvalidSignatureException"
    endless = (wire[0], wire[1], wire[2].replace("Expires=60", "Expires=604801"), wire[3], wire[4])
    assert refused(endless).code == "IncompleteSignatureException"


@pytest.mark.parametrize("signer", [SigV4Auth, SigV4QueryAuth])
def test_session_tokens(signer: type[SigV4Auth]) -> None:
    def wire(key: str, token: str | None) -> Wire:
        return signed(signer=signer, method="GET", credentials=Credentials(key, SECRET, token))

    assert VERIFIER.verify(*wire("ASIATOKEN", TOKEN)) == "ASIATOKEN"
    for key, token in [("ASIATOKEN", None), ("ASIATOKEN", "other"), (KEY, TOKEN), ("AKIAUNKNOWN", None)]:
        fault = refused(wire(key, token))
        assert (fault.code, fault.message) == (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )


def test_the_clock_may_be_five_minutes_wrong() -> None:
    wire = signed()
    now = time.time()
    for wrong in (-298, 298):
        assert (
            Verifier({KEY: SECRET}, region=None, clock=lambda wrong=wrong: now + wrong).verify(*wire) == KEY
        )
    fault = refused(wire, Verifier({KEY: SECRET}, region=None, clock=lambda: now + 302))
    assert fault.code == "InvalidSignatureException"
    assert (fault.message or "").startswith("Signature expired: 20") and (fault.message or "").endswith(
        "Z - 5 min.)"
    )
    fault = refused(wire, Verifier({KEY: SECRET}, region=None, clock=lambda: now - 302))
    assert (fault.message or "").startswith("Signature not yet current: 20")
    assert (fault.message or "").endswith("Z + 5 min.)")


def test_the_scope_must_fit() -> None:
    wire = signed()
    assert Verifier({KEY: SECRET}, region=None).verify(*wire) == KEY
    fault = refused(wire, Verifier({KEY: SECRET}, region="us-east-1"))
    assert fault.message == "Credential should be scoped to a valid region. "
    assert refused(wire, service="logs").message == "Credential should be scoped to correct service: 'logs'. "
    assert refused(wire, service="s3").code == "InvalidSignatureException"
    iam = signed(service="iam")
    assert Verifier({KEY: SECRET}, region="us-east-1").verify(*iam, service="iam") == KEY


def test_a_date_header_serves_as_well() -> None:
    wire = signed(headers={"Date": "now"})
    assert "x-amz-date" not in {name.lower() for name, _ in wire[3]}
    assert VERIFIER.verify(*wire) == KEY


@pytest.mark.parametrize("key", ["a b+c", "ü/ö//x", "a/../b", "~.-_", "100%"])
def test_s3_paths_are_taken_as_they_are(key: str) -> None:
    path = f"/bucket/{quote(key, safe='/~')}"
    wire = signed(path, body=b"data", signer=S3SigV4Auth, service="s3", method="PUT")
    assert VERIFIER.verify(*wire, service="s3") == KEY
    assert VERIFIER.verify(*wire[:4], None, service="s3") == KEY  # its body is still to come
    assert refused((*wire[:4], b"other"), service="s3").code == "InvalidSignatureException"
    presigned = signed(path, signer=S3SigV4QueryAuth, service="s3", method="PUT")
    assert VERIFIER.verify(*presigned[:4], b"any", service="s3") == KEY


def test_only_s3_may_leave_its_body_unsigned() -> None:
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    wire = signed(headers=headers, body=b"data")
    assert refused(wire).code == "InvalidSignatureException"
    assert refused((*wire[:4], None)).code == "InvalidSignatureException"  # type: ignore[arg-type]


def test_every_profile_of_a_credentials_file_is_a_key(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "# ours\n[default]\naws_access_key_id = A\naws_secret_access_key = s%e=c\n\n"
        "[temporary]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=tok==\n[config]\nregion = x\n"
    )
    assert load_credentials(file) == {"A": Credential("s%e=c"), "B": Credential("t", "tok==")}


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "has no profile"), ("[a]\naws_access_key_id=A\n", "needs both"), ("junk", "cannot read")],
)
def test_a_credentials_file_that_is_no_use(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "credentials").write_text(text)
    with pytest.raises(InvalidConfiguration, match=told):
        load_credentials(tmp_path / "credentials")
    with pytest.raises(InvalidConfiguration, match="cannot read"):
        load_credentials(tmp_path / "none")
