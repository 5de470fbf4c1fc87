import dataclasses
import random

import pytest

from parley.access.keys.api_key import ApiKey, hash_of, make, parse, written

PRESENTED, SALT = make(random.Random(6).randbytes)
KEY = ApiKey(id=PRESENTED.id, salt=SALT, hash=hash_of(SALT, PRESENTED.secret), name="captions")


def test_a_key_can_be_read_again() -> None:
    assert parse(written(PRESENTED)) == PRESENTED


def test_a_key_says_what_it_is() -> None:
    assert written(PRESENTED).startswith(f"parley_{KEY.id}_")
    assert len(written(PRESENTED)) == 7 + 12 + 1 + 43


@pytest.mark.parametrize(
    "text",
    ["", "parley_", f"parley_{KEY.id}", f"{written(PRESENTED)}x", written(PRESENTED)[:-1], f" {written(PRESENTED)}"],
)
def test_anything_else_is_no_key(text: str) -> None:
    assert parse(text) is None


def test_a_key_fits_its_own_secret_alone() -> None:
    assert KEY.fits(PRESENTED.secret)
    assert not KEY.fits(PRESENTED.secret[::-1])


def test_the_same_secret_has_another_hash_with_another_salt() -> None:
    assert hash_of(b"1" * 16, "secret") != hash_of(b"2" * 16, "secret")


def test_keys_differ() -> None:
    chance = random.Random(7).randbytes
    assert len({make(chance)[0].secret for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("changes", "is_over"),
    [
        ({}, False),
        ({"expires_at_s": 100.5}, False),
        ({"expires_at_s": 100.0}, True),
        ({"revoked_at_s": 500.0}, True),
        ({"expires_at_s": 900.0, "revoked_at_s": 1.0}, True),
    ],
)
def test_a_key_is_over_when_it_has_expired_or_was_revoked(changes: dict[str, float], is_over: bool) -> None:
    assert dataclasses.replace(KEY, **changes).is_over(100.0) is is_over  # type: ignore[arg-type]


def test_neither_shows_a_secret() -> None:
    assert PRESENTED.secret not in repr(PRESENTED)
    assert KEY.hash.hex() not in repr(KEY)
    assert repr(KEY.hash) not in repr(KEY)
