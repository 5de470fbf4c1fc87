import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import SAMPLE_RATE, Audio, Text

from .builders import pcm

CANARY = "canary-7d1f"
any_text = st.text(st.characters(codec="utf-8"))


def test_all_audio_of_the_core_is_16_khz() -> None:
    assert SAMPLE_RATE == 16_000


def test_audio_is_equal_by_payload_and_length() -> None:
    assert Audio(b"AAA=", 1) == Audio(b"AAA=", 1)
    assert hash(Audio(b"AAA=", 1)) == hash(Audio(b"AAA=", 1))


@pytest.mark.parametrize("other", [Audio(b"AAB=", 1), Audio(b"AAA=", 2), b"AAA=", None])
def test_audio_differs_from_other_audio_and_other_things(other: object) -> None:
    assert Audio(b"AAA=", 1) != other


def test_text_is_equal_by_literal() -> None:
    assert Text(b'"a"') == Text.of("a")
    assert hash(Text(b'"a"')) == hash(Text.of("a"))


@pytest.mark.parametrize("other", [Text(b'"b"'), b'"a"', "a", None])
def test_text_differs_from_other_text_and_other_things(other: object) -> None:
    assert Text(b'"a"') != other


@pytest.mark.parametrize("render", [repr, str, "{!r}".format, "{}".format, "%s".__mod__])
def test_content_does_not_print(render: object) -> None:
    assert callable(render)
    sound = b64encode(CANARY.encode())
    assert render(Audio(sound, 12)) == "Audio(samples=12)"
    assert render(Text.of(CANARY)) == "Text(bytes=11)"


@pytest.mark.parametrize(("text", "is_empty"), [(Text(b'""'), True), (Text.of(""), True), (Text.of(" "), False)])
def test_text_without_a_character_is_empty(text: Text, is_empty: bool) -> None:
    assert text.is_empty is is_empty


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (b'"a\\"b\\\\c\\/d"', 'a"b\\c/d'),
        (b'"\\n\\t\\u0000"', "\n\t\0"),
        ('"né 語 😀"'.encode(), "né 語 😀"),
        (b'"\\u00e9\\ud83d\\ude00"', "é😀"),
    ],
)
def test_a_literal_decodes_as_json_does(literal: bytes, value: str) -> None:
    assert Text(literal).decode() == value


@given(any_text)
def test_text_of_a_value_decodes_to_it(value: str) -> None:
    text = Text.of(value)
    assert text.decode() == value
    assert json.loads(text.literal) == value
    assert text.is_empty is (value == "")


@given(st.lists(any_text))
def test_joined_texts_are_the_joined_values(values: list[str]) -> None:
    assert Text.joined(map(Text.of, values)).decode() == "".join(values)


@given(st.lists(any_text), st.booleans())
def test_joined_literals_are_what_the_joined_value_would_be_written_as(values: list[str], ensure_ascii: bool) -> None:
    def literal(value: str) -> bytes:
        return json.dumps(value, ensure_ascii=ensure_ascii).encode()

    assert Text.joined(Text(literal(value)) for value in values).literal == literal("".join(values))


@pytest.mark.parametrize("samples", [0, 1, 99])
def test_audio_after_some_samples_is_the_rest_of_it(samples: int) -> None:
    rest = pcm(100).after(samples)
    assert rest == pcm(100 - samples, begin=samples)


def test_something_of_audio_must_be_left() -> None:
    with pytest.raises(AssertionError, match="something left"):
        pcm(100).after(100)
