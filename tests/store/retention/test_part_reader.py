"""A record's file as it is read: whole, cut off, or changed."""

import contextlib
import io
from dataclasses import replace

import pytest

from parley.core.errors import ParleyError
from parley.store.retention.entry import Closed, CutOff, Entry, encode_entry
from parley.store.retention.frames import FrameCipher, context_of, encode_head
from parley.store.retention.part_reader import PartReader
from tests.store.retention.records import AUDIO, HEADER, TURN

KEY = b"k" * 32
HEAD = encode_head(HEADER)
END = Closed("client-ended")


def file_of(*entries: Entry) -> bytes:
    cipher = FrameCipher(KEY, HEAD)
    return HEAD + b"".join(cipher.seal(encode_entry(entry)) for entry in entries)


def reader_of(data: bytes, key: bytes = KEY) -> PartReader:
    reader = PartReader(io.BytesIO(data))
    reader.unlock(key)
    return reader


def refusal(data: bytes, key: bytes = KEY) -> str:
    with pytest.raises(ParleyError) as caught:
        reader_of(data, key).read()
    assert caught.value.code == "retention-unavailable"
    return caught.value.detail


def test_a_record_is_read_to_its_end() -> None:
    reader = reader_of(file_of(TURN, AUDIO, END))
    assert (reader.header, reader.context) == (HEADER, context_of(HEAD))
    assert reader.read() == [TURN, AUDIO]
    assert reader.read() == []
    assert (reader.closed, reader.is_cut_off) == ("client-ended", False)
    reader.close()


def test_a_long_record_is_read_a_piece_at_a_time() -> None:
    reader = reader_of(file_of(TURN, AUDIO, END))
    assert [reader.read(1), reader.read(1), reader.read(1)] == [[TURN], [AUDIO], []]


def test_that_there_was_more_than_may_be_kept_is_told() -> None:
    reader = reader_of(file_of(TURN, CutOff(), END))
    assert reader.read() == [TURN]
    assert reader.is_cut_off


@pytest.mark.parametrize("cut", [1, 3, 17])
def test_a_record_that_was_cut_short_has_no_end(cut: int) -> None:
    reader = reader_of(file_of(TURN, END)[:-cut])
    assert reader.read() == [TURN]
    assert reader.closed == ""


def test_a_record_whose_end_was_taken_away_has_none() -> None:
    reader = reader_of(file_of(TURN))
    assert reader.read() == [TURN]
    assert reader.closed == ""


def test_another_key_opens_nothing() -> None:
    assert "key is another's" in refusal(file_of(TURN, END), b"x" * 32)


def test_every_flipped_bit_is_noticed() -> None:
    whole = file_of(TURN, END)
    for place in range(len(HEAD), len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        reader = reader_of(bytes(changed))
        with contextlib.suppress(ParleyError):
            # A length that says more than there is looks like a file that was cut short.
            assert reader.read() in ([], [TURN])
        assert reader.closed == ""


def test_a_changed_header_opens_nothing() -> None:
    head = encode_head(replace(HEADER, tenant="evil"))
    assert "changed" in refusal(head + file_of(TURN, END)[len(HEAD) :])


def test_what_is_longer_than_any_frame_is_not_read() -> None:
    assert "longer than any" in refusal(HEAD + b"\xff\xff\xff\xff" + b"x" * 10)


def test_nothing_may_stand_behind_the_end() -> None:
    assert "behind the record's end" in refusal(file_of(TURN, END, TURN))
