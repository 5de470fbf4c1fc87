import pytest

from parley.access.caller import OPERATOR
from parley.access.identity import RequestHead
from parley.access.operator_token import OperatorToken

TOKEN = "0123456789abcdef-token"


def head(*values: str) -> RequestHead:
    return RequestHead("GET", "/", tuple(("authorization", value) for value in values))


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_whoever_brings_it_is_the_operator(value: str) -> None:
    method = OperatorToken(TOKEN)
    assert method.recognises(head(value))
    caller = method.authenticate(head(value)).caller
    assert (set(caller.roles), caller.name, caller.method) == ({OPERATOR}, "operator", "operator-token")


@pytest.mark.parametrize(
    "value", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \udcff"]
)
def test_anything_else_is_not_it(value: str) -> None:
    assert not OperatorToken(TOKEN).recognises(head(value))


def test_no_header_is_not_it_either() -> None:
    assert not OperatorToken(TOKEN).recognises(head())


def test_it_does_not_show_its_token() -> None:
    assert TOKEN not in repr(OperatorToken(TOKEN))
