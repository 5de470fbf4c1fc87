"""Keys of records wrapped in one from a file: which files are taken, and that changes are noticed."""

import base64
from pathlib import Path

import pytest

from parley.core.errors import ParleyError
from parley.store.retention.envelope import KEYS_MAX, FileEnvelope, UnusableKeyError
from tests.store.retention.records import key_file

FIRST, SECOND = b"1" * 32, b"2" * 32
RECORD_KEY, CONTEXT = b"r" * 32, b"context"


async def code_of_unwrap(envelope: FileEnvelope, wrapped: bytes, context: bytes = CONTEXT) -> str:
    with pytest.raises(ParleyError) as caught:
        await envelope.unwrap(wrapped, context)
    return caught.value.code


async def test_a_key_comes_out_as_it_was_wrapped(tmp_path: Path) -> None:
    envelope = FileEnvelope(key_file(tmp_path))
    wrapped = await envelope.wrap(RECORD_KEY, CONTEXT)
    assert RECORD_KEY not in wrapped
    assert await envelope.unwrap(wrapped, CONTEXT) == RECORD_KEY


async def test_a_key_in_base64_is_the_same_as_in_hex(tmp_path: Path) -> None:
    wrapped = await FileEnvelope(key_file(tmp_path, FIRST)).wrap(RECORD_KEY, CONTEXT)
    (tmp_path / "keys").write_bytes(base64.b64encode(FIRST) + b"\n")
    assert await FileEnvelope(tmp_path / "keys").unwrap(wrapped, CONTEXT) == RECORD_KEY


async def test_the_first_key_wraps_and_all_unwrap(tmp_path: Path) -> None:
    old = await FileEnvelope(key_file(tmp_path, FIRST)).wrap(RECORD_KEY, CONTEXT)
    rotated = FileEnvelope(key_file(tmp_path, SECOND, FIRST))
    assert await rotated.unwrap(old, CONTEXT) == RECORD_KEY
    new = await rotated.wrap(RECORD_KEY, CONTEXT)
    assert await code_of_unwrap(FileEnvelope(key_file(tmp_path, FIRST)), new) == "retention-unavailable"


async def test_a_key_is_good_in_its_own_context_alone(tmp_path: Path) -> None:
    envelope = FileEnvelope(key_file(tmp_path))
    wrapped = await envelope.wrap(RECORD_KEY, CONTEXT)
    assert await code_of_unwrap(envelope, wrapped, b"another") == "retention-unavailable"


@pytest.mark.parametrize("place", [0, 10, -1])
async def test_a_changed_bit_is_noticed(tmp_path: Path, place: int) -> None:
    envelope = FileEnvelope(key_file(tmp_path))
    wrapped = bytearray(await envelope.wrap(RECORD_KEY, CONTEXT))
    wrapped[place] ^= 1
    assert await code_of_unwrap(envelope, bytes(wrapped)) == "retention-unavailable"


@pytest.mark.parametrize("wrapped", [b"", b"x" * 67])
async def test_what_is_not_as_long_as_a_wrapped_key_is_none(tmp_path: Path, wrapped: bytes) -> None:
    assert await code_of_unwrap(FileEnvelope(key_file(tmp_path)), wrapped) == "retention-unavailable"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"zz" * 32, b"ab" * 31, b"ab" * 33, b"not base64!", b"\xff" * 64, b"aa" * 32 + b" short"],
)
def test_a_file_that_holds_something_else_is_refused_with_the_fix(tmp_path: Path, content: bytes) -> None:
    path = key_file(tmp_path)
    path.write_bytes(content)
    with pytest.raises(UnusableKeyError, match="openssl rand -hex 32"):
        FileEnvelope(path)


def test_more_keys_than_may_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableKeyError, match=f"1 to {KEYS_MAX} keys"):
        FileEnvelope(key_file(tmp_path, *([FIRST] * (KEYS_MAX + 1))))


def test_what_is_in_the_file_is_not_in_the_refusal(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    path.write_text("s3cret-that-is-too-short")
    with pytest.raises(UnusableKeyError) as caught:
        FileEnvelope(path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(UnusableKeyError, match="chmod 600"):
        FileEnvelope(path)


def test_a_file_that_is_not_there_is_refused_without_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableKeyError, match=r"can't be read: No such file or directory\."):
        FileEnvelope(tmp_path / "none")


def test_keys_are_not_shown(tmp_path: Path) -> None:
    (key,) = FileEnvelope(key_file(tmp_path, FIRST))._keys
    assert "cipher" not in repr(key)
