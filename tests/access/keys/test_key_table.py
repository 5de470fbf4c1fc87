"""The file of API keys: what is written is what is read, and what is wrong is told at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.action import TENANT
from parley.access.keys.api_key import ApiKey
from parley.access.keys.key_table import KEYS_MAX, NAME, ROLE, format_api_keys, parse_api_keys
from parley.access.watched_file import FileError

PLAIN = f'id = "0123456789ab"\nname = "captions"\nhash = "{"a" * 64}"\nsalt = "{"b" * 32}"\n'


def key(text: str = PLAIN) -> str:
    return f"[[key]]\n{text}\n"


def why(document: str) -> tuple[str, ...]:
    with pytest.raises(FileError) as caught:
        parse_api_keys(document.encode())
    return caught.value.problems


def test_a_key_needs_an_id_a_name_a_hash_and_a_salt() -> None:
    assert parse_api_keys(key().encode()) == {
        "0123456789ab": ApiKey(
            id="0123456789ab", name="captions", hash=bytes.fromhex("aa" * 32), salt=bytes.fromhex("bb" * 16)
        )
    }


def test_there_may_be_no_key_yet() -> None:
    assert parse_api_keys(b"") == {}


_TIMES = st.none() | st.integers(1, 4_000_000_000).map(float)
_KEYS = st.builds(
    ApiKey,
    id=st.text("0123456789abcdef", min_size=12, max_size=12),
    name=st.from_regex(NAME, fullmatch=True),
    salt=st.binary(min_size=16, max_size=16),
    hash=st.binary(min_size=32, max_size=32),
    tenant=st.just("") | st.from_regex("[a-z0-9](-[a-z0-9]){0,9}", fullmatch=True).filter(TENANT.fullmatch),
    roles=st.lists(st.from_regex(ROLE, fullmatch=True), max_size=3).map(tuple),
    description=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\x7f"), max_size=40
    ),
    created_at_s=st.integers(0, 4_000_000_000).map(float),
    expires_at_s=_TIMES,
    revoked_at_s=_TIMES,
)


@given(st.lists(_KEYS, max_size=4, unique_by=lambda one: one.id))
def test_what_is_written_is_what_is_read(keys: list[ApiKey]) -> None:
    assert list(parse_api_keys(format_api_keys(keys)).values()) == keys


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (key('id = "x"\n'), ("key 1: name is missing.", "key 1: hash is missing.", "key 1: salt is missing.")),
        (key(PLAIN.replace("captions", "a b")), ("key 1: name is to be 1 to 64 letters, digits and _ . @ -",)),
        (key(PLAIN + "roles = []\n"), ("key 1: roles is to be a list of 1 to 16 texts",)),
        (key(PLAIN + 'roles = ["A"]\n'), ("key 1: roles is to be a list of 1 to 63 lower-case letters",)),
        (key(PLAIN + 'expires_at = "2026"\n'), ("key 1: expires_at is to be a time with its offset",)),
        (key() + key(), ("key 2: has the id of key 1 again.",)),
        (key(PLAIN + 'secret = "canary"\n'), ("key 1: there is no field secret.",)),
    ],
)
def test_what_is_wrong_is_told_with_the_keys_number(document: str, problems: tuple[str, ...]) -> None:
    found = why(document)
    assert len(found) >= len(problems)
    assert all(any(one.startswith(problem) for one in found) for problem in problems)
    assert "canary" not in "".join(found)


def test_there_are_not_more_keys_than_one_process_should_hold() -> None:
    documents = [key(PLAIN.replace("0123456789ab", f"{number:012x}")) for number in range(KEYS_MAX + 1)]
    (problem,) = why("".join(documents))
    assert problem == "There are 1001 of [[key]] in it; 1000 are allowed."
