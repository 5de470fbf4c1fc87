import pytest

from parley.client.endpoint import origin, realtime_url


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/realtime"),
        ("http://host:8000/", "ws://host:8000/v1/realtime"),
        ("https://host", "wss://host/v1/realtime"),
        ("wss://host/custom/path?x=1#part", "wss://host/custom/path?x=1"),
        ("localhost:8080", "ws://localhost:8080/v1/realtime"),
        ("ws://[::1]:8080", "ws://[::1]:8080/v1/realtime"),
    ],
)
def test_what_people_type_becomes_a_websocket_url(typed: str, expected: str) -> None:
    assert realtime_url(typed) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ws://host", "ws://host/v1/realtime?empty_deltas=true"),
        ("ws://host/x?a=b", "ws://host/x?a=b&empty_deltas=true"),
    ],
)
def test_timestamps_are_asked_for_in_the_query(typed: str, expected: str) -> None:
    assert realtime_url(typed, timestamps=True) == expected


@pytest.mark.parametrize(
    "typed", ["", "ftp://host", "ws://", "ws://host:port", "ws://host:99999", "ws://[::1", "ws://h:0"]
)
def test_what_is_no_url_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="not one of a WebSocket server"):
        realtime_url(typed)


@pytest.mark.parametrize("typed", ["ws://me@host", "ws://me:word@host", "wss://:word@host/v1"])
def test_a_password_in_the_url_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="carries a password") as caught:
        realtime_url(typed)
    assert "word@" not in str(caught.value)


def test_the_origin_holds_no_path_or_query() -> None:
    assert origin("wss://host:1/secret?token=1") == "wss://host:1"


def test_a_connection_for_a_session_that_is_there_says_so() -> None:
    assert realtime_url("host", timestamps=True, resume=True).endswith("?empty_deltas=true&resume=1")
