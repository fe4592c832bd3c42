"""Row 37: forged, replayed, unsigned and oddly encoded requests get a 403 of constant shape; AWS's signing vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.canonical import canonical_request, sign, string_to_sign
from engine.aws.sigv4 import Credential, Denied, Verifier

VECTORS = Path(__file__).parent / "vectors" / "aws4_testsuite"
NAMES = sorted(str(file.parent.relative_to(VECTORS)) for file in VECTORS.rglob("*.req"))
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = 1440938160.0  # 20150830T123600Z, when all of them were signed
STAMP, SCOPE = "20150830T123600Z", ("20150830", "us-east-1", "service")
# The token is added after signing, which AWS leaves to few services; here what is x-amz-* must be signed.
ADDED_AFTER = "post-sts-token/post-sts-header-after"
Wire = tuple[str, str, str, list[tuple[str, str]], bytes]


def read(name: str, ending: str) -> str:
    (file,) = (VECTORS / name).glob(f"*.{ending}")
    return file.read_bytes().decode().replace("\r\n", "\n")


def parse(text: str) -> Wire:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, _, target = first.removesuffix(" HTTP/1.1").partition(" ")
    path, _, query = target.partition("?")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" "):
            headers[-1] = (headers[-1][0], f"{headers[-1][1]}\n{line}")
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return method, path, query, headers, body.encode()


def sent(name: str) -> Wire:
    """The signed request. The Authorization is the .authz file's: one vector's .sreq has that of another."""
    method, path, query, headers, body = parse(read(name, "sreq"))
    headers = [header for header in headers if header[0] != "Authorization"]
    return method, path, query, [*headers, ("Authorization", read(name, "authz"))], body


def verifier(token: str | None = None) -> Verifier:
    return Verifier({KEY: Credential(SECRET, token)}, region="us-east-1", clock=lambda: NOW)


def test_the_vectors_are_all_there() -> None:
    assert len(NAMES) >= 33


@pytest.mark.parametrize("name", NAMES)
def test_vector(name: str) -> None:
    canonical = read(name, "creq")
    *_, signed_headers, payload = canonical.split("\n")
    request = canonical_request(*sent(name)[:4], signed_headers.split(";"), payload)
    assert request.decode() == canonical
    assert string_to_sign(STAMP, SCOPE, request) == read(name, "sts")
    assert read(name, "authz").endswith(f"Signature={sign(SECRET, STAMP, SCOPE, request)}")


@pytest.mark.parametrize("name", NAMES)
def test_vector_as_it_arrives(name: str) -> None:
    wire = sent(name)
    token = dict(wire[3]).get("X-Amz-Security-Token")
    if name == ADDED_AFTER:
        with pytest.raises(Denied, match="'X-Amz-Security-Token' must be a 'SignedHeader'"):
            verifier(token).verify(*wire, service="service")
    else:
        assert verifier(token).verify(*wire, service="service") == KEY


def refusal(wire: Wire) -> tuple[str, str]:
    with pytest.raises(Denied) as caught:
        verifier().verify(*wire, service="service")
    assert caught.value.status == 403
    assert caught.value.members == {}
    return caught.value.code, caught.value.message or ""


def vanilla(**changed: str) -> Wire:
    """A signed request, with some headers put in the place of its own ("-" leaves one out)."""
    method, path, query, headers, body = parse(read("post-vanilla", "sreq"))
    merged = {name.lower(): value for name, value in headers} | {
        name.replace("_", "-"): value for name, value in changed.items()
    }
    return method, path, query, [(name, value) for name, value in merged.items() if value != "-"], body


AUTHORIZATION = dict(vanilla()[3])["authorization"].strip()
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


def test_the_untouched_request_is_accepted_and_so_is_its_repetition() -> None:
    """AWS accepts a request again that is repeated word for word within the five minutes; so is it here."""
    once = verifier()
    assert [once.verify(*vanilla(), service="service") for _ in range(2)] == [KEY, KEY]


def test_replayed_later() -> None:
    late = Verifier({KEY: SECRET}, region="us-east-1", clock=lambda: NOW + 301)
    with pytest.raises(Denied) as caught:
        late.verify(*vanilla(), service="service")
    assert (caught.value.code, caught.value.message) == (
        "InvalidSignatureException",
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
    )


def test_replayed_with_a_new_date() -> None:
    assert refusal(vanilla(x_amz_date="20150830T123700Z")) == ("InvalidSignatureException", MISMATCH)


def test_unsigned() -> None:
    assert refusal(vanilla(authorization="-")) == (
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )


def test_forged() -> None:
    signature = AUTHORIZATION[-64:]
    for forged in (
        "0" * 64,
        signature[:-1] + ("0" if signature[-1] != "0" else "1"),
        signature.upper(),
        "x",
        "é" * 64,
    ):
        wire = vanilla(authorization=AUTHORIZATION.replace(signature, forged))
        assert refusal(wire) == ("InvalidSignatureException", MISMATCH), forged
    unknown = vanilla(authorization=AUTHORIZATION.replace(KEY, "AKIDOTHER"))
    assert refusal(unknown)[0] == "UnrecognizedClientException"


@pytest.mark.parametrize(
    "authorization",
    [
        "", " ", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "Basic dXNlcjpwYXNz", "AWS4-HMAC-SHA256 Credential",
        "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=", "AWS4-HMAC-SHA256 =,=,=", "é\x00\x7f",
        AUTHORIZATION.replace("20150830/", ""), AUTHORIZATION.replace("Signature=", "Other="),
        AUTHORIZATION + ", Signature=" + "0" * 64, AUTHORIZATION + ",", AUTHORIZATION.replace("=", ""),
    ],
)  # fmt: skip
def test_oddly_written_authorization(authorization: str) -> None:
    code, message = refusal(vanilla(authorization=authorization))
    assert code == "IncompleteSignatureException"
    assert 0 < len(message) < 500


def test_oddly_written_dates() -> None:
    for date in (
        "20150830T123600",
        "2015-08-30T12:36:00Z",
        "99999999T999999Z",
        "20150230T123600Z",
        "\u0662\u0660\u0661\u0665\u0660\u0668\u0663\u0660T123600Z",
    ):
        assert refusal(vanilla(x_amz_date=date))[0] == "IncompleteSignatureException", date
    assert refusal(vanilla(x_amz_date="-"))[1].startswith(
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    )


def test_what_is_added_on_the_way_is_refused() -> None:
    assert refusal(vanilla(x_amz_target="Other"))[1] == (
        "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."
    )
    method, path, query, headers, body = vanilla()
    for more in ([("host", "elsewhere")], [("Host", "example.amazonaws.com")]):
        assert refusal((method, path, query, headers + more, body))[0] == "InvalidSignatureException"
    twice = [*headers, ("authorization", AUTHORIZATION)]
    assert refusal((method, path, query, twice, body))[0] == "IncompleteSignatureException"
    dated_twice = [*headers, ("x-amz-date", "20150830T123600Z")]
    assert refusal((method, path, query, dated_twice, body))[0] == "IncompleteSignatureException"
    no_host = [(name, value) for name, value in headers if name != "host"]
    assert refusal((method, path, query, no_host, body))[0] == "InvalidSignatureException"
    unsigned_host = AUTHORIZATION.replace("host;", "")
    assert refusal(vanilla(authorization=unsigned_host))[1].startswith("'Host' or ':authority' must be")


odd = st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1"))


@given(odd, odd, odd, st.lists(st.tuples(odd, odd), max_size=3), st.binary(max_size=40), odd)
def test_nothing_else_than_a_refusal_comes_of_odd_requests(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, authorization: str
) -> None:
    for signature in (authorization, AUTHORIZATION, f"AWS4-HMAC-SHA256 {authorization}"):
        refusal((method, path, query, [*headers, ("Authorization", signature), ("Host", "x")], body))
    refusal((method, path, f"X-Amz-Signature={query}&{query}", headers, body))


@given(st.data())
def test_one_changed_byte_of_the_authorization_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(AUTHORIZATION) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = AUTHORIZATION[:at] + other + AUTHORIZATION[at + 1 :]
    same = (
        changed.lower() == AUTHORIZATION.lower() and "SignedHeaders" in changed
    )  # header names have no case
    if changed != AUTHORIZATION and not (same and AUTHORIZATION[at].lower() in "host;x-amz-date"):
        refusal(vanilla(authorization=changed))
