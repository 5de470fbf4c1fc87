"""Sealed states: nobody reads or changes them without the token, and none is taken for another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.errors import ParleyError
from parley.store.sealing import NONCE_BYTES, OVERHEAD_BYTES, seal, state_keys, unseal

TOKEN = "p1." + "A" * 43
STATE = b"zzgeheimnis" * 10
NONCE = bytes(NONCE_BYTES)
KEYS = state_keys(TOKEN)
SEALED = seal(STATE, KEYS, NONCE)


def refusal(sealed: bytes, token: str = TOKEN) -> str:
    with pytest.raises(ParleyError) as caught:
        unseal(sealed, state_keys(token))
    return caught.value.code


@given(st.binary(max_size=2_000), st.text(max_size=60), st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES))
def test_the_token_opens_what_was_sealed_with_it(state: bytes, token: str, nonce: bytes) -> None:
    sealed = seal(state, state_keys(token), nonce)
    assert unseal(sealed, state_keys(token)) == state
    assert len(sealed) == len(state) + OVERHEAD_BYTES


def test_nothing_of_the_state_or_the_token_is_to_be_seen() -> None:
    for part in (STATE[:8], TOKEN.encode()[:8]):
        assert part not in SEALED
        assert part not in KEYS.store_key
        assert part not in KEYS.secret


def test_keys_do_not_print() -> None:
    assert KEYS.secret.hex() not in repr(KEYS)
    assert repr(KEYS.secret) not in repr(KEYS)


def test_the_key_of_the_store_does_not_open_it() -> None:
    assert KEYS.store_key != KEYS.secret


def test_the_keys_follow_from_the_token_alone() -> None:
    assert state_keys(TOKEN) == KEYS
    other = state_keys("p1." + "B" * 43)
    assert other.store_key != KEYS.store_key
    assert other.secret != KEYS.secret


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_state_that_was_changed_anywhere_is_not_taken(place: int, change: int) -> None:
    changed = bytearray(SEALED)
    changed[place] ^= change
    assert refusal(bytes(changed)) in ("state-unreadable", "state-unsupported")


@pytest.mark.parametrize("size", [0, 3, OVERHEAD_BYTES - 1, OVERHEAD_BYTES, len(SEALED) - 1])
def test_a_state_that_was_cut_is_not_taken(size: int) -> None:
    assert refusal(SEALED[:size]) == "state-unreadable"


def test_a_state_is_not_taken_for_another_sessions() -> None:
    assert refusal(SEALED, "p1." + "B" * 43) == "state-unreadable"


def test_an_older_head_is_not_taken() -> None:
    assert refusal(SEALED[:3] + b"\x00" + SEALED[4:]) == "state-unreadable"


def test_a_state_that_a_newer_release_sealed_otherwise_is_told_so() -> None:
    assert refusal(SEALED[:3] + b"\x02" + SEALED[4:]) == "state-unsupported"
