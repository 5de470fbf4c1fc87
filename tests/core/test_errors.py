import pytest

from parley.core.errors import ERRORS, ParleyError


def test_a_message_says_what_happened_the_case_and_what_to_do() -> None:
    error = ParleyError("invalid-audio", "It has 3 bytes, an odd number.")
    assert (error.code, error.detail, error.retry_after_s) == ("invalid-audio", "It has 3 bytes, an odd number.", None)
    assert error.message == (
        "The audio is empty, not base64, or not a whole number of 16-bit samples. It has 3 bytes, an odd number. "
        "Send base64 (padded) of PCM16 little-endian, 16 kHz, mono, an even number of bytes."
    )
    assert str(error) == f"invalid-audio: {error.message}"


def test_a_message_without_particulars_has_no_gap() -> None:
    spec = ERRORS["not-found"]
    assert ParleyError("not-found").message == f"{spec.summary} {spec.fix}"


def test_an_error_may_say_when_to_retry() -> None:
    assert ParleyError("at-capacity", retry_after_s=2.5).retry_after_s == 2.5


def test_a_code_that_is_not_of_the_table_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        ParleyError("no-such-code")
