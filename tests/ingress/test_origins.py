"""Which pages may connect."""

import pytest

from parley.access.identity import RequestHead
from parley.core.errors import ParleyError
from parley.ingress.origins import Origins


def head(origin: str | None, host: str | None = "127.0.0.1:8080") -> RequestHead:
    fields = [("origin", origin), ("host", host)]
    return RequestHead("GET", "/", tuple((name, value) for name, value in fields if value is not None))


OWN = [
    ("http://127.0.0.1:8080", "127.0.0.1:8080"),
    ("http://localhost:8080", "LOCALHOST:8080"),
    ("https://192.0.2.7", "192.0.2.7:443"),
    ("http://192.0.2.7:80", "192.0.2.7"),
    ("http://[::1]:8080", "[::1]:8080"),
]
FOREIGN = [
    ("https://evil.example", "127.0.0.1:8080"),
    ("http://127.0.0.1:9090", "127.0.0.1:8080"),
    ("http://127.0.0.1", "127.0.0.1:8080"),
    ("http://127.0.0.1:8080.evil.example", "127.0.0.1:8080"),
    ("http://127.0.0.1:8080@evil.example", "127.0.0.1:8080"),
    ("null", "127.0.0.1:8080"),
    ("", "127.0.0.1:8080"),
    ("file://", ""),
    ("127.0.0.1:8080", "127.0.0.1:8080"),
    ("chrome-extension://127.0.0.1:8080", "127.0.0.1:8080"),
    ("http://127.0.0.1:8080", None),
]


def test_what_is_no_page_is_taken() -> None:
    assert Origins().check(head(None)) == ""


@pytest.mark.parametrize(("origin", "host"), OWN)
def test_a_page_of_this_servers_own_address_is_taken(origin: str, host: str) -> None:
    assert Origins().check(head(origin, host)) == origin


@pytest.mark.parametrize(("origin", "host"), FOREIGN)
def test_a_page_of_any_other_origin_is_refused(origin: str, host: str | None) -> None:
    for origins in (Origins(), Origins(trusts_names=True), Origins(["https://captions.example"])):
        with pytest.raises(ParleyError) as caught:
            origins.check(head(origin, host))
        assert caught.value.code == "origin-forbidden"


@pytest.mark.parametrize("host", ["[", "[::1", "127.1.1", "0x7f000001", "localhost.evil.example"])
def test_what_is_almost_an_address_is_none(host: str) -> None:
    assert not Origins().allows(head(f"http://{host}", host))


def test_a_name_that_was_led_here_is_its_own_origin_only_where_everybody_is_asked() -> None:
    rebound = head("http://evil.example:8080", "evil.example:8080")
    assert not Origins().allows(rebound)
    assert Origins(trusts_names=True).allows(rebound)


@pytest.mark.parametrize(
    "origin", ["https://captions.example", "HTTPS://Captions.Example", "https://captions.example:443"]
)
def test_a_listed_origin_is_taken_in_any_spelling(origin: str) -> None:
    assert Origins(["https://captions.example"]).allows(head(origin))
    assert Origins([origin]).allows(head("https://captions.example"))


@pytest.mark.parametrize("origin", ["http://captions.example", "https://captions.example:8443", "https://a.example"])
def test_another_scheme_port_or_host_is_another_origin(origin: str) -> None:
    assert not Origins(["https://captions.example"]).allows(head(origin))


def test_a_star_is_all() -> None:
    assert all(Origins(["*"]).allows(head(origin, host)) for origin, host in FOREIGN)
    assert Origins(["*"]).allows_all
    assert not Origins(["https://captions.example"]).allows_all


def test_two_origins_are_nobodys() -> None:
    request = RequestHead("GET", "/", (("origin", "https://a.example"), ("origin", "https://b.example")))
    assert not Origins(["*"]).allows(request)
