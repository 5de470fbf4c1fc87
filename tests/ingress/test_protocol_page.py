"""docs/protocol.md says what the gateway does: the parts of it that a program can compare."""

import re
from pathlib import Path

from parley.access.gate import Gate
from parley.core.errors import ERRORS
from parley.ingress.http import http_application
from parley.ingress.upgrades import REALTIME_PATH, SAGEMAKER_PATH
from tests.support.ingress import StubHost

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def test_every_error_stands_beside_its_close_code_and_no_other() -> None:
    section = PAGE.split("## How a session ends")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d{4}) \| (.*) \|$", section, re.MULTILINE)
    documented = {code: int(close) for close, text in rows for code in re.findall(r"`([a-z-]+)`", text)}
    assert documented == {code: spec.ws_close for code, spec in ERRORS.items()}


def test_every_route_is_listed_and_no_other() -> None:
    section = PAGE.split("## Routes")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(GET|POST) (/[a-z0-9/_-]*)`", section))
    application = http_application(StubHost(), Gate(), body_max_bytes=1)
    served = {(route.method, route.resource.canonical) for route in application.router.routes() if route.resource}
    assert documented == {(method, path) for method, path in served if method != "HEAD"}
    assert {("GET", REALTIME_PATH), ("GET", SAGEMAKER_PATH)} <= documented


def test_every_error_that_the_page_names_exists() -> None:
    kebab = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE))
    # A header, a policy, the reason of an end that is no error, and a retention class.
    assert kebab - {"x-amzn-errortype", "drop-oldest", "client-ended", "debug-audio"} <= set(ERRORS)
