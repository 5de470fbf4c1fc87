from parley.access.identity import Identity, SignedRequest


def test_a_request_does_not_show_its_headers() -> None:
    request = SignedRequest("POST", "/path", (("authorization", "canary"),))
    assert "canary" not in repr(request)


def test_an_identity_without_a_guard_is_one_whose_events_are_taken_as_they_come() -> None:
    assert Identity("", None).guard is None
