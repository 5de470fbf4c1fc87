import pytest

from parley.audio.media_type import MediaType
from parley.core.errors import ParleyError


@pytest.mark.parametrize(
    ("header", "essence", "parameters"),
    [
        ("audio/wav", "audio/wav", {}),
        (" Audio/PCM ; Rate=8000;channels=2", "audio/pcm", {"rate": "8000", "channels": "2"}),
        ('audio/pcm;rate="16000";', "audio/pcm", {"rate": "16000"}),
        ("", "", {}),
    ],
)
def test_a_header_is_read_without_regard_to_case_spaces_and_quotes(
    header: str, essence: str, parameters: dict[str, str]
) -> None:
    assert MediaType.parse(header) == MediaType(essence, parameters)


def test_a_parameter_without_a_value_is_refused() -> None:
    with pytest.raises(ParleyError) as caught:
        MediaType.parse("audio/pcm;rate")
    assert caught.value.code == "unsupported-media"


def test_a_parameter_is_read_as_a_number_and_has_a_default() -> None:
    media = MediaType.parse("audio/pcm;rate=8000")
    assert (media.number("rate", 16_000), media.number("channels", 1)) == (8_000, 1)


@pytest.mark.parametrize("text", ["", "-8000", "8e3", "\u0668\u0660\u0660\u0660", "1" * 10])
def test_a_parameter_that_is_no_number_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ParleyError) as caught:
        MediaType("audio/pcm", {"rate": text}).number("rate", 16_000)
    assert "`rate`" in caught.value.message
