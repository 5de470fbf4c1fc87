"""What of a chain of lines can be changed without being seen: nothing but its end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.audit_chain import GENESIS, LINE_MAX_BYTES, Link, bind, read, verify

KEY = b"a key of sixteen"


def chain(count: int, key: bytes = b"", after: Link | None = None) -> list[bytes]:
    at, lines = after or Link(), []
    for number in range(count):
        line, at = bind({"action": f"a{number}"}, at, key)
        lines.append(line)
    return lines


def test_a_line_is_json_with_its_number_and_both_hashes() -> None:
    line, link = bind({"action": "start"}, Link())
    entry = json.loads(line)
    assert entry == {"seq": 1, "action": "start", "prev": GENESIS, "hash": link.hash}
    assert line.endswith(b"\n")


def test_a_line_can_be_read_again() -> None:
    line, link = bind({"action": "start"}, Link(), KEY)
    entry, found = read(line, KEY)
    assert (entry["action"], found) == ("start", link)


@pytest.mark.parametrize("key", [b"", KEY])
def test_a_chain_holds_up_to_its_end(key: bytes) -> None:
    lines = chain(5, key)
    verdict = verify(lines, key, Link())
    assert (verdict.lines, verdict.fault, verdict.end) == (5, None, read(lines[-1], key)[1])


def test_no_lines_are_a_chain_that_has_not_begun() -> None:
    assert verify([]).end == Link()


def test_a_part_of_a_chain_holds_from_where_it_begins() -> None:
    verdict = verify(chain(5)[2:])
    assert (verdict.lines, verdict.end.seq, verdict.fault) == (3, 5, None)


def test_a_chain_that_should_go_on_from_elsewhere_does_not_hold() -> None:
    verdict = verify(chain(2), after=Link(0, "1" * 64))
    assert verdict.fault is not None
    assert verdict.fault.why == "it does not follow from the line before it"


@pytest.mark.parametrize(
    ("tamper", "line", "why"),
    [
        (lambda lines: lines[:2] + lines[3:], 3, "the 1 before it are missing"),
        (lambda lines: [*lines[:3], lines[1], *lines[3:]], 4, "it was put there again, or moved"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, "the 1 before it are missing"),
        (lambda lines: [lines[0], lines[1].replace(b"a1", b"a9"), *lines[2:]], 2, "it is not as it was written"),
        (lambda lines: [lines[0], b"not json\n", *lines[1:]], 2, "it is no line of an audit log"),
        (lambda lines: [lines[0], lines[1][:40]], 2, "it is no line of an audit log"),
    ],
)
def test_what_was_tampered_with_is_told_by_its_line(tamper: object, line: int, why: str) -> None:
    verdict = verify(tamper(chain(5)), after=Link())  # type: ignore[operator]
    assert verdict.fault is not None
    assert (verdict.fault.line, verdict.lines) == (line, line - 1)
    assert verdict.fault.why.startswith(why)


def test_a_chain_made_anew_without_the_key_does_not_hold() -> None:
    verdict = verify(chain(3), KEY)
    assert verdict.fault is not None
    assert verdict.fault.line == 1


def test_a_line_that_is_longer_than_any_is_none() -> None:
    line, _ = bind({"action": "x" * LINE_MAX_BYTES}, Link())
    with pytest.raises(ValueError, match="no line of an audit log"):
        read(line)


@given(st.integers(0, 4), st.integers(0, 400), st.integers(1, 255))
def test_no_byte_of_a_line_can_be_changed(number: int, place: int, change: int) -> None:
    lines = chain(5, KEY)
    changed = bytearray(lines[number])
    place %= len(changed) - 1
    changed[place] ^= change
    lines[number] = bytes(changed)
    verdict = verify(lines, KEY, Link())
    assert verdict.fault is not None
    assert verdict.fault.line == number + 1
