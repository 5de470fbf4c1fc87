import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4.authorization import AUTHORIZATION_MAX_CHARS, Authorization, parse_authorization
from parley.access.sigv4.signing_key import Scope
from tests.access.sigv4.scene import outcome, refusal, why
from tests.support.signing import sign_request

CREDENTIAL = "Credential=AKIDEXAMPLE/20261122/us-east-1/sagemaker/aws4_request"
HEADERS = "SignedHeaders=content-type;host;x-amz-date"
SIGNATURE = "Signature=" + "0123456789abcdef" * 4
WHOLE = f"AWS4-HMAC-SHA256 {CREDENTIAL}, {HEADERS}, {SIGNATURE}"
PARSED = Authorization(
    "AKIDEXAMPLE",
    Scope("20261122", "us-east-1", "sagemaker"),
    ("content-type", "host", "x-amz-date"),
    "0123456789abcdef" * 4,
)


def test_its_parts_are_taken_from_the_header() -> None:
    assert parse_authorization(WHOLE) == PARSED


@pytest.mark.parametrize(
    "header",
    [
        f"AWS4-HMAC-SHA256 {CREDENTIAL},{HEADERS},{SIGNATURE}",
        f"AWS4-HMAC-SHA256  {CREDENTIAL},  {HEADERS} , {SIGNATURE} ",
        f"AWS4-HMAC-SHA256 {SIGNATURE}, {CREDENTIAL}, {HEADERS}",
    ],
)
def test_spaces_and_the_order_of_the_parts_do_not_matter(header: str) -> None:
    assert parse_authorization(header) == PARSED


def test_the_authority_may_be_signed_under_its_name_in_http_2() -> None:
    header = WHOLE.replace(HEADERS, "SignedHeaders=:authority;content-type;x-amz-date")
    assert parse_authorization(header).signed_headers == (":authority", "content-type", "x-amz-date")


def test_neither_the_key_nor_the_signature_is_shown() -> None:
    assert "AKIDEXAMPLE" not in repr(PARSED)
    assert PARSED.signature not in repr(PARSED)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer canary",
        "AWS4-HMAC-SHA256",
        "aws4-hmac-sha256 " + CREDENTIAL,
        " " + WHOLE,
        "AWS4-ECDSA-P256-SHA256 " + CREDENTIAL,
    ],
)
def test_another_scheme_is_told_which_one_is_taken(header: str) -> None:
    code, detail = why(parse_authorization, header)
    assert code == "not-authenticated"
    if header.partition(" ")[0] != "AWS4-HMAC-SHA256":
        assert detail == "The Authorization header's scheme is not AWS4-HMAC-SHA256."


@pytest.mark.parametrize(
    ("part", "put", "how"),
    [
        (CREDENTIAL + ", ", "", "has no Credential"),
        (HEADERS + ", ", "", "has no SignedHeaders"),
        (", " + SIGNATURE, "", "has no Signature"),
        (SIGNATURE, SIGNATURE + ",", "holds something else than Credential, SignedHeaders and Signature, each once"),
        (SIGNATURE, f"{SIGNATURE}, {SIGNATURE}", "holds something else than Credential, SignedHeaders and Signature"),
        (SIGNATURE, SIGNATURE + ", Canary=1", "holds something else than Credential, SignedHeaders and Signature"),
        ("Signature=", "signature=", "holds something else than Credential, SignedHeaders and Signature"),
        (SIGNATURE, "Signature", "holds something else than Credential, SignedHeaders and Signature"),
        ("/aws4_request", "", "has a Credential that is not of the form KEY/yyyymmdd/region/service/aws4_request"),
        ("/aws4_request", "/aws4_request/more", "has a Credential"),
        ("/aws4_request", "/aws5_request", "has a Credential"),
        ("AKIDEXAMPLE", "", "has a Credential"),
        ("AKIDEXAMPLE", "AKID EXAMPLE", "has a Credential"),
        ("AKIDEXAMPLE", "A" * 129, "has a Credential"),
        ("20261122", "2026112", "has a Credential"),
        ("20261122", "２0261122", "has a Credential"),  # noqa: RUF001 - a digit that is none of ASCII's
        ("us-east-1", "", "has a Credential"),
        ("us-east-1", "US-EAST-1", "has a Credential"),
        ("us-east-1", "u" * 65, "has a Credential"),
        ("sagemaker", "sage maker", "has a Credential"),
        ("content-type;host;x-amz-date", "", "has SignedHeaders that are not distinct lower-case names in order"),
        ("content-type;host", "host;content-type", "has SignedHeaders"),
        ("content-type;host", "host;host", "has SignedHeaders"),
        ("content-type;host", "Content-Type;host", "has SignedHeaders"),
        ("content-type;host", "content-type;;host", "has SignedHeaders"),
        ("content-type;host", "content type;host", "has SignedHeaders"),
        ("content-type;host", "content-type\n;host", "has SignedHeaders"),
        ("0123456789abcdef", "0123456789ABCDEF", "has a Signature that is not 64 lower-case hexadecimal digits"),
        (SIGNATURE, SIGNATURE[:-1], "has a Signature"),
        (SIGNATURE, SIGNATURE + "0", "has a Signature"),
        (SIGNATURE, SIGNATURE + "\n", "has a Signature"),
        (SIGNATURE, "Signature=", "has a Signature"),
    ],
)
def test_a_malformed_header_is_told_what_is_wrong_with_it(part: str, put: str, how: str) -> None:
    assert part in WHOLE
    code, detail = why(parse_authorization, WHOLE.replace(part, put))
    assert code == "not-authenticated"
    assert detail.startswith(f"Its Authorization header {how}")


def test_a_header_of_the_bound_is_taken_apart_and_a_longer_one_is_not() -> None:
    assert parse_authorization(WHOLE + " " * (AUTHORIZATION_MAX_CHARS - len(WHOLE))) == PARSED
    longer = WHOLE + " " * (AUTHORIZATION_MAX_CHARS + 1 - len(WHOLE))
    assert why(parse_authorization, longer) == (
        "not-authenticated",
        "Its Authorization header is longer than 8192 characters.",
    )


@given(st.text() | st.text().map("AWS4-HMAC-SHA256 {}".format))
def test_any_text_is_refused_unless_it_is_such_a_header(header: str) -> None:
    assert outcome(parse_authorization, header) == "not-authenticated"


@given(st.text("qxyz", min_size=8, max_size=40))
def test_a_refusal_does_not_quote_the_header(header: str) -> None:
    for field in ("", "Credential=", "SignedHeaders=", "Signature="):
        assert header not in str(refusal(parse_authorization, f"AWS4-HMAC-SHA256 {field}{header}"))


@given(st.data())
def test_a_header_with_anything_put_into_it_is_taken_apart_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(WHOLE)))
    end = data.draw(st.integers(start, min(len(WHOLE), start + 8)))
    changed = WHOLE[:start] + data.draw(st.text(max_size=6)) + WHOLE[end:]
    assert outcome(parse_authorization, changed) in {"", "not-authenticated"}


@pytest.mark.parametrize("style", ["python", "node"])
def test_what_awss_sdks_send_is_taken_apart(style: str) -> None:
    head = sign_request(style=style, time_s=1_795_342_500)  # type: ignore[arg-type]
    parsed = parse_authorization(dict(head.headers)["authorization"])
    assert parsed.scope == Scope("20261122", "us-east-1", "sagemaker")
    assert parsed.signature == head.seed
