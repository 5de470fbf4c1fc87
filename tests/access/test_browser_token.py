"""Short-lived tokens for browsers: what is minted comes back, and nothing else does."""

import base64
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.browser_token import (
    PREFIX,
    TOKEN_MAX_CHARS,
    BrowserTokenMethod,
    BrowserTokens,
    carries_token,
    offered_subprotocols,
)
from parley.access.caller import Caller
from parley.access.identity import RequestHead
from parley.core.errors import ParleyError
from tests.access.sigv4.scene import NOW_S, Clock, outcome, refusal, why

SECRET = b"a-key-that-nobody-guesses-of-32-b"
MINTER = Caller("1" * 64, "key:captions", "acme", frozenset({"speaker", "editor"}), method="api-key")
CLOCK = Clock()


def tokens(secret: bytes = SECRET, clock: Clock = CLOCK) -> BrowserTokens:
    return BrowserTokens(secret, clock=clock, ttl_max_s=600.0)


def head(*headers: tuple[str, str]) -> RequestHead:
    return RequestHead("GET", "/v1/realtime", headers)


def offer(*subprotocols: str) -> RequestHead:
    return head(("sec-websocket-protocol", ", ".join(subprotocols)))


TOKEN = tokens().mint(MINTER, 60).value


# ---- what is minted


def test_a_token_stands_for_its_minter() -> None:
    caller = tokens().open(TOKEN)
    assert caller == dataclasses.replace(MINTER, method="browser-token", expires_at_s=float(int(NOW_S) + 60))


def test_a_token_shows_nothing_of_its_minter() -> None:
    sealed = base64.urlsafe_b64decode(TOKEN.removeprefix(PREFIX) + "==")
    for hidden in ("captions", "acme", "speaker", MINTER.principal):
        assert hidden.encode() not in sealed


def test_no_two_tokens_are_the_same() -> None:
    minted = [tokens().mint(MINTER, 60) for _ in range(50)]
    assert len({one.value for one in minted}) == len({one.token_id for one in minted}) == 50


def test_neither_a_token_nor_the_key_is_shown() -> None:
    minted = tokens().mint(MINTER, 60)
    assert minted.value not in repr(minted)
    assert repr(tokens()) == "BrowserTokens(ttl_max_s=600)"


def test_a_token_is_one_word_that_a_subprotocol_may_have() -> None:
    # RFC 9110 section 5.6.2, `token`.
    assert set(TOKEN) <= set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_a_token_is_no_longer_good_than_its_makers_own_credential() -> None:
    minter = dataclasses.replace(MINTER, expires_at_s=NOW_S + 10)
    assert tokens().mint(minter, 60).expires_at_s == int(NOW_S + 10)


def test_a_browser_token_makes_no_other() -> None:
    assert outcome(tokens().mint, tokens().open(TOKEN), 60) == "forbidden"


@pytest.mark.parametrize("ttl_s", [0, 0.5, 600.5, 1e9, float("nan")])
def test_a_token_is_good_for_a_second_at_least_and_what_is_set_at_most(ttl_s: float) -> None:
    assert why(tokens().mint, MINTER, ttl_s) == ("bad-request", "A browser token may be good for 1 to 600 s.")


def test_a_maker_with_more_roles_than_a_token_holds_is_told() -> None:
    minter = dataclasses.replace(MINTER, roles=frozenset(f"role-of-some-length-{number}" for number in range(200)))
    assert outcome(tokens().mint, minter, 60) == "bad-request"


def test_a_short_key_is_none() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        BrowserTokens(b"too-short", clock=CLOCK)


# ---- what is opened


def test_a_token_is_expired_from_its_time_on() -> None:
    clock = Clock()
    minted = tokens(clock=clock).mint(MINTER, 60)
    clock.now_s = minted.expires_at_s - 0.1
    tokens(clock=clock).open(minted.value)
    clock.now_s = minted.expires_at_s
    assert why(tokens(clock=clock).open, minted.value) == (
        "expired-credentials",
        "The browser token was good until 2026-11-22T10:16:00Z; it is 2026-11-22T10:16:00Z. Have another one made.",
    )


def test_a_token_of_another_nodes_key_is_refused() -> None:
    other = tokens(b"another-key-that-nobody-guesses--").mint(MINTER, 60).value
    assert outcome(tokens().open, other) == "invalid-token"
    of_process = [BrowserTokens.of_this_process(clock=CLOCK) for _ in range(2)]
    token = of_process[0].mint(MINTER, 60).value
    assert [outcome(one.open, token) for one in of_process] == ["", "invalid-token"]


def test_nodes_with_the_same_key_take_each_others() -> None:
    assert tokens().open(tokens(bytes(SECRET)).mint(MINTER, 60).value).name == MINTER.name


def test_a_token_with_any_bit_flipped_is_refused() -> None:
    sealed = base64.urlsafe_b64decode(TOKEN.removeprefix(PREFIX) + "=" * (-len(TOKEN.removeprefix(PREFIX)) % 4))
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        forged = PREFIX + base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert outcome(tokens().open, forged) == "invalid-token", bit


def test_a_token_that_was_cut_is_refused_wherever() -> None:
    assert {outcome(tokens().open, TOKEN[:length]) for length in range(len(TOKEN))} == {"invalid-token"}


@pytest.mark.parametrize(
    "token",
    [
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.replace("pt1.", "pt2."),
        PREFIX + base64.urlsafe_b64encode(json.dumps({"principal": "1" * 64}).encode()).decode(),
        PREFIX + "A" * TOKEN_MAX_CHARS,
        PREFIX + "é",
        "",
    ],
)
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    error = refusal(tokens().open, token)
    assert error.code == "invalid-token"
    assert len(token) < 5 or token not in str(error)


@given(st.text().map(PREFIX.__add__) | st.text() | st.binary().map(lambda data: PREFIX + data.hex()))
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(ParleyError) as caught:
        tokens().open(token)
    assert caught.value.code == "invalid-token"


# ---- where it comes from


@pytest.mark.parametrize(
    "request_head",
    [
        offer("realtime", f"parley.token.{TOKEN}"),
        offer(f"parley.token.{TOKEN}", "parley"),
        offer("realtime", f"openai-insecure-api-key.{TOKEN}", "openai-beta.realtime-v1"),
        head(("sec-websocket-protocol", "realtime"), ("sec-websocket-protocol", f"parley.token.{TOKEN}")),
        head(("authorization", f"Bearer {TOKEN}")),
        head(("authorization", f"bearer  {TOKEN} ")),
    ],
)
def test_it_comes_as_a_subprotocol_or_a_bearer_token(request_head: RequestHead) -> None:
    method = BrowserTokenMethod(tokens())
    assert method.recognises(request_head)
    assert method.authenticate(request_head).caller.name == MINTER.name
    assert not method.is_beside_others


@pytest.mark.parametrize(
    "request_head",
    [
        head(),
        offer("realtime", "other"),
        head(("authorization", "Bearer a.jwt.perhaps")),
        head(("authorization", f"Basic {TOKEN}")),
        RequestHead("GET", f"/v1/realtime?token={TOKEN}&access_token={TOKEN}", ()),
    ],
)
def test_it_is_not_looked_for_anywhere_else(request_head: RequestHead) -> None:
    assert not BrowserTokenMethod(tokens()).recognises(request_head)


def test_two_tokens_at_once_are_one_too_many() -> None:
    request = offer("realtime", f"parley.token.{TOKEN}", f"openai-insecure-api-key.{TOKEN}")
    assert why(BrowserTokenMethod(tokens()).authenticate, request) == (
        "bad-request",
        "It brings 2 browser tokens; send one.",
    )


def test_another_key_in_a_subprotocol_is_no_browser_token() -> None:
    request = offer("realtime", "openai-insecure-api-key.sk-somebodys-own")
    assert BrowserTokenMethod(tokens()).recognises(request)
    assert outcome(BrowserTokenMethod(tokens()).authenticate, request) == "invalid-token"


def test_what_is_offered_is_told_apart_from_what_is_secret() -> None:
    offered = offered_subprotocols(offer("realtime", f"parley.token.{TOKEN}", ""))
    assert [carries_token(name) for name in offered] == [False, True]
