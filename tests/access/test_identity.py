from parley.access.caller import NOBODY
from parley.access.identity import Identity, RequestHead


def test_a_request_does_not_show_its_headers() -> None:
    request = RequestHead("POST", "/path", (("authorization", "canary"),))
    assert "canary" not in repr(request)


def test_an_identity_without_a_guard_is_one_whose_events_are_taken_as_they_come() -> None:
    assert Identity(NOBODY).guard is None


def test_a_header_may_come_more_than_once() -> None:
    request = RequestHead("GET", "/", (("a", "1"), ("b", "2"), ("a", "3")))
    assert request.values("a") == ["1", "3"]
