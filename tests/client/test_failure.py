import pytest

from parley.client.failure import SessionFailed, SourceError, reported_failure, vllm_failure
from parley.core.errors import Fault, ParleyError, Retry
from parley.wire.contract import Failed


def test_a_parley_error_becomes_a_failure_with_all_its_data() -> None:
    failure = SessionFailed.of(ParleyError("shutting-down", "Soon.", retry_after_s=3.0))
    assert (failure.code, failure.fault, failure.retry) == ("shutting-down", Fault.SERVER, Retry.NEW_SESSION)
    assert failure.retry_after_s == 3.0
    assert "Soon." in failure.message


def test_the_text_of_a_failure_says_what_to_do() -> None:
    failure = SessionFailed("x", "Do this.", fault=Fault.SERVER, retry=Retry.NEVER)
    assert str(failure) == "x: Do this."


def test_a_model_servers_own_words_stay_out_of_a_failures_text() -> None:
    failure = vllm_failure("processing_error", "private words")
    assert failure.message == "private words"
    assert str(failure) == "processing_error (fault: upstream)"


def test_a_sources_error_says_all_in_its_text() -> None:
    error = SourceError("ffmpeg-missing", "Install it.")
    assert (error.code, error.message, str(error)) == ("ffmpeg-missing", "Install it.", "ffmpeg-missing: Install it.")


@pytest.mark.parametrize(("fault", "retry"), [("nobody", "never"), ("client", "sometimes"), (None, None)])
def test_an_error_with_data_that_is_not_known_is_taken_as_a_vllms(fault: str | None, retry: str | None) -> None:
    failure = reported_failure(Failed("No.", "processing_error", "new-code", fault, retry))
    assert (failure.code, failure.retry) == ("processing_error", Retry.NEW_SESSION)
