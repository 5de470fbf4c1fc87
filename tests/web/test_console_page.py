"""The console's files, and where whoever starts a gateway is told of it."""

import re
from pathlib import Path

import pytest

from parley.cli.serve import greeting
from parley.server.ready import Ready

CONSOLE = Path(__file__).parents[2] / "src" / "parley" / "web" / "static" / "console"


def scripts() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(CONSOLE.glob("*.js")))


def test_every_element_that_the_console_looks_for_is_there() -> None:
    page = (CONSOLE / "index.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    wanted = set(re.findall(r'byId\("([^"]+)"\)', scripts()))
    assert len(wanted) > 30
    assert wanted <= ids


def test_what_one_signs_in_with_is_kept_nowhere_but_in_the_pages_memory() -> None:
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", scripts())


def test_the_credential_travels_in_a_header_and_never_in_an_address() -> None:
    assert "headers.Authorization" in scripts()
    assert not re.search(r"[?&](?:token|key|credential|authorization)=", scripts(), re.IGNORECASE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9901", "https://[::1]:7000"])
def test_whoever_opens_the_admin_port_is_told_where_the_console_is(url: str) -> None:
    (line,) = [line for line in greeting(Ready("127.0.0.1", 8080, admin_url=url)).splitlines() if "console" in line]
    assert line.endswith(f" {url}/console")


def test_without_the_admin_port_there_is_no_word_of_a_console() -> None:
    assert "console" not in greeting(Ready("127.0.0.1", 8080))
