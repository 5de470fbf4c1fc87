"""Entries as bytes: what is written is read again, garbage is told from it, and nothing of it shows."""

import msgspec
import pytest

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.store.retention.entry import Closed, CutOff, Entry, KeptAudio, KeptTurn, decode_entry, encode_entry
from tests.store.retention.records import AUDIO, CANARY, TURN

ENTRIES: list[Entry] = [TURN, KeptTurn(2, 5, 9, Text.of("ä"), text_from=7), AUDIO, CutOff(), Closed("client-ended")]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_what_is_written_is_read_again(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize("data", [b"", b"\xc1", msgspec.msgpack.encode([9]), msgspec.msgpack.encode([0, CANARY])])
def test_what_is_no_entry_is_refused_without_a_word_of_it(data: bytes) -> None:
    with pytest.raises(ParleyError, match="can't read") as caught:
        decode_entry(data)
    assert caught.value.code == "retention-unavailable"
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("entry", [TURN, AUDIO], ids=lambda entry: type(entry).__name__)
def test_an_entry_does_not_show_what_was_said(entry: Entry) -> None:
    assert CANARY not in f"{entry} {entry!r}"


def test_audio_ends_behind_its_last_sample() -> None:
    assert KeptAudio(100, bytes(20)).end == 110
