from parley.client.failure import SessionFailed, SourceError
from parley.core.errors import Fault, ParleyError, Retry


def test_a_parley_error_becomes_a_failure_with_all_its_data() -> None:
    failure = SessionFailed.of(ParleyError("shutting-down", "Soon.", retry_after_s=3.0))
    assert (failure.code, failure.fault, failure.retry) == ("shutting-down", Fault.SERVER, Retry.NEW_SESSION)
    assert failure.retry_after_s == 3.0
    assert "Soon." in failure.message


def test_the_text_of_a_failure_leaves_the_servers_words_out() -> None:
    failure = SessionFailed("x", "private words", fault=Fault.UPSTREAM, retry=Retry.NEVER)
    assert str(failure) == "x (fault: upstream, retry: never)"


def test_a_sources_error_says_all_in_its_text() -> None:
    error = SourceError("ffmpeg-missing", "Install it.")
    assert (error.code, error.message, str(error)) == ("ffmpeg-missing", "Install it.", "ffmpeg-missing: Install it.")
