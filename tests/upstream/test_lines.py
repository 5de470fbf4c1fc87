from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from parley.upstream.child.lines import LineSplitter


def split(*chunks: bytes, line_max_bytes: int = 16) -> list[str]:
    splitter = LineSplitter(line_max_bytes)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


def test_a_line_may_come_in_pieces() -> None:
    assert split(b"on", b"e\ntw", b"o\n") == ["one", "two"]


def test_the_last_line_needs_no_end() -> None:
    assert split(b"one\ntwo") == ["one", "two"]


def test_empty_lines_are_left_out() -> None:
    assert split(b"\n\none\n\r\n  \n") == ["one"]


def test_each_step_of_a_progress_bar_is_a_line() -> None:
    assert split(b"10%\r20%\r30%\n") == ["10%", "20%", "30%"]


def test_a_long_line_is_cut_and_says_by_how_much() -> None:
    assert split(b"0123456789abcdef", b"ghij", b"k\nnext\n") == ["0123456789abcdef [5 bytes more]", "next"]


def test_bytes_that_are_not_utf8_are_shown_as_such() -> None:
    assert split(b"caf\xe9\n") == ["caf\ufffd"]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_are_cut(content: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[start:stop] for start, stop in pairwise(bounds)]
    assert split(*pieces) == split(content)


def test_what_is_held_of_a_line_is_bounded() -> None:
    splitter = LineSplitter(line_max_bytes=16)
    for _ in range(100):
        splitter.feed(b"x" * 65_536)
    assert len(splitter.end()[0]) < 64
