"""The canonical request: cases like those of the test suite that AWS published, and AWS's signers."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from random import Random
from urllib.parse import quote

import pytest
from aws_sdk_signers import URI, AsyncSigV4Signer, AWSRequest, Field, Fields
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest as BotoRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from parley.access.identity import RequestHead
from parley.access.sigv4.canonical import canonical_query, canonical_request, wire_bytes

EMPTY = sha256(b"").hexdigest()
HOST = {"host": ["example.amazonaws.com"]}


def canonical(
    target: str = "/", fields: Mapping[str, Sequence[str]] = HOST, method: str = "GET", payload_hash: str = EMPTY
) -> str:
    request = RequestHead(method, target, ())
    return canonical_request(request, fields, sorted(fields), payload_hash).decode("utf-8", "surrogateescape")


def path_of(target: str) -> str:
    return canonical(target).split("\n")[1]


def query_of(target: str) -> str:
    return canonical(target).split("\n")[2]


def lines_of(fields: Mapping[str, Sequence[str]]) -> list[str]:
    return canonical(fields=fields).split("\n")[3:-3]


def test_the_plainest_request() -> None:
    assert canonical() == f"GET\n/\n\nhost:example.amazonaws.com\n\nhost\n{EMPTY}"


def test_the_example_in_awss_documentation() -> None:
    # "Create a signed AWS API request" in the IAM user guide, and the hash that it arrives at.
    fields = {
        "content-type": ["application/x-www-form-urlencoded; charset=utf-8"],
        "host": ["iam.amazonaws.com"],
        "x-amz-date": ["20150830T123600Z"],
    }
    text = canonical("/?Action=ListUsers&Version=2010-05-08", fields)
    assert sha256(text.encode()).hexdigest() == "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"


def test_the_payloads_hash_may_be_a_name_for_what_it_is() -> None:
    name = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
    assert canonical(payload_hash=name).endswith(f"\nhost\n{name}")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("", "/"),
        ("?a=b", "/"),
        ("/", "/"),
        ("/-._~0123456789ABCxyz", "/-._~0123456789ABCxyz"),
        ("/a%20b", "/a%2520b"),
        ("/a%2Fb", "/a%252Fb"),
        ("/a b", "/a%20b"),
        ("/a!'()*b", "/a%21%27%28%29%2Ab"),
        ("/ሴ", "/%E1%88%B4"),
        ("/a\nb", "/a%0Ab"),
        (b"/\xff".decode("utf-8", "surrogateescape"), "/%FF"),
    ],
)
def test_a_path_is_encoded_once_more(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize("path", ["/a/../b", "/a/./b", "/a//b", "//", "/a/", "/.."])
def test_a_path_stays_as_it_will_be_routed(path: str) -> None:
    assert path_of(path) == path


@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/", ""),
        ("/?", ""),
        ("/?&", ""),
        ("/?a", "a="),
        ("/?a=", "a="),
        ("/?=b", "=b"),
        ("/?a=b=c", "a=b%3Dc"),
        ("/?b=1&a=2", "a=2&b=1"),
        ("/?a=2&a=1", "a=1&a=2"),
        ("/?a=1&&b=2", "a=1&b=2"),
        ("/?a-=1&a=2", "a=2&a-=1"),
        ("/?A=1&a=2&B=3", "A=1&B=3&a=2"),
        ("/?a=%41%7e", "a=A~"),
        ("/?a=b+c", "a=b%2Bc"),
        ("/?a=b%20c%2fd", "a=b%20c%2Fd"),
        ("/?a=x?y/z", "a=x%3Fy%2Fz"),
        ("/?ሴ=bar", "%E1%88%B4=bar"),
        ("/?a=%zz%", "a=%25zz%25"),
        ("/?a=%ff", "a=%FF"),
        ("/?-._~=-._~", "-._~=-._~"),
    ],
)
def test_a_query_is_encoded_and_sorted(target: str, query: str) -> None:
    assert query_of(target) == query


@pytest.mark.parametrize(
    ("value", "folded"),
    [
        ("value", "value"),
        ("  value\t", "value"),
        ("a   b  c", "a b c"),
        ("a\n  b", "a b"),
        ('"a   b"', '"a b"'),
        ("", ""),
        (" ", ""),
        ("é", "é"),
    ],
)
def test_spaces_in_a_header_are_trimmed_and_folded(value: str, folded: str) -> None:
    assert lines_of({"my-header": [value]}) == [f"my-header:{folded}"]


def test_values_of_one_header_are_joined_in_their_order() -> None:
    assert lines_of({"my-header": [" b ", "a  c", "b"]}) == ["my-header:b,a c,b"]


def test_a_method_cannot_look_like_further_lines() -> None:
    assert canonical(method="GET\n/admin").split("\n")[:2] == ["GET%0A%2Fadmin", "/"]


def test_bytes_that_are_not_utf_8_come_back_as_they_were() -> None:
    assert wire_bytes(bytes(range(256)).decode("utf-8", "surrogateescape")) == bytes(range(256))


def test_what_cannot_have_come_from_bytes_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        canonical("/\ud800")


# ---- AWS's signers arrive at the same

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).map("my-{}".format)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
segments = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).map(lambda text: quote(text, safe=""))
paths = st.lists(segments.filter(lambda text: text not in (".", "..")), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
pairs = st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)).filter(any), max_size=4)


def query_string(parameters: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)


@given(path=paths, parameters=pairs, headers=st.dictionaries(names, values, max_size=4))
def test_botocore_arrives_at_the_same(path: str, parameters: list[tuple[str, str]], headers: dict[str, str]) -> None:
    target = f"{path}?{query_string(parameters)}"
    request = BotoRequest("GET", f"https://example.amazonaws.com{target}", headers)
    expected = SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "sagemaker", "us-east-1").canonical_request(request)
    fields = {**HOST, **{name: [value] for name, value in headers.items()}}
    assert canonical(target, fields) == expected


@given(path=paths, parameters=pairs, headers=st.dictionaries(names, values, max_size=4))
def test_awss_signer_for_python_arrives_at_the_same(
    path: str, parameters: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    query = query_string(parameters)
    request = AWSRequest(
        destination=URI(host="example.amazonaws.com", path=path, query=query),
        method="GET",
        body=None,
        fields=Fields([Field(name=name, values=[value]) for name, value in headers.items()]),
    )
    properties = {"region": "us-east-1", "service": "sagemaker", "date": "20261122T101500Z"}
    signing = AsyncSigV4Signer().canonical_request(signing_properties=properties, request=request)  # type: ignore[arg-type]
    expected = asyncio.run(signing)
    fields = {**HOST, **{name: [value] for name, value in headers.items()}}
    assert canonical(f"{path}?{query}", fields) == expected


@given(st.text(), st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=9), min_size=1), max_size=3))
def test_any_request_has_a_form(target: str, fields: dict[str, list[str]]) -> None:
    assert canonical(target, fields).startswith("GET\n")


@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_parameters_does_not_matter(parameters: list[tuple[str, str]], random: Random) -> None:
    shuffled = parameters.copy()
    random.shuffle(shuffled)
    assert canonical_query(query_string(shuffled)) == canonical_query(query_string(parameters))
