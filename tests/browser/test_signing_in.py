"""A gateway that asks who is there, and the pages' part in that."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.browser.browser import Browser, Page, shows
from tests.browser.stage import Stage
from tests.server.test_trust import KeyFile
from tests.store.retention.records import key_file

pytestmark = pytest.mark.timeout(300)

SETTINGS = """
[access]
keys_file = "{folder}/keys.toml"
policy_file = "{folder}/policy.toml"

[retention]
directory = "{folder}/kept"
key_file = "{key}"

[[tenants]]
name = "acme"
retention = "transcript"
"""
POLICY = """
[[rule]]
name = "own sessions"
who = ["key:captions"]
actions = ["start", "resume"]

[[rule]]
name = "operators"
who = ["key:operator"]
actions = ["observe", "end", "move", "drain"]
tenants = ["*"]

[[rule]]
name = "readers"
who = ["key:reader"]
actions = ["observe", "read"]
tenants = ["acme"]
"""
REFUSED = ["401 (Unauthorized)"]


@pytest.fixture
def keys(tmp_path: Path) -> Mapping[str, str]:
    """By whose they are. A gateway looks for new ones once a second: these are there before it."""
    file = KeyFile(tmp_path / "keys.toml")
    tenants = {"captions": "acme", "operator": "", "reader": ""}
    return {name: file.add(name, tenant=tenant) for name, tenant in tenants.items()}


@pytest.fixture
def options(keys: Mapping[str, str], tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "policy.toml").write_text(POLICY, encoding="utf-8")
    settings = tmp_path / "parley.toml"
    settings.write_text(SETTINGS.format(folder=tmp_path, key=key_file(tmp_path)), encoding="utf-8")
    return ("--config", str(settings))


async def signed_in(page: Page, key: str) -> None:
    """With this key, on either page."""
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.locator("input").fill(key)
    await dialog.get_by_role("button", name="Sign in").click()
    await dialog.wait_for(state="hidden")


async def assert_kept_nowhere(page: Page, key: str, asked: list[str]) -> None:
    """The key is in no address, and in nothing that outlives the page."""
    assert asked
    assert not [url for url in asked if key in url]
    kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert key not in kept
    assert await page.context.cookies() == []


async def test_the_captions_page_asks_for_a_key_and_keeps_it_to_itself(
    stage: Stage, keys: Mapping[str, str], browser: Browser
) -> None:
    browser.complaints.expected += REFUSED
    asked: list[str] = []
    page = await browser.open(stage.url)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    await page.get_by_role("button", name="Start listening").click()
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("API key or token").fill("wrong")
    await dialog.get_by_role("button", name="Sign in").click()
    await shows(dialog, "does not know this key")
    await signed_in(page, keys["captions"])
    await shows(page.get_by_test_id("transcript"), "recording")
    assert any(url.startswith("ws:") for url in asked)
    await assert_kept_nowhere(page, keys["captions"], asked)


async def test_the_console_offers_what_somebody_may_and_shows_what_was_said_only_when_asked(
    stage: Stage, keys: Mapping[str, str], browser: Browser
) -> None:
    browser.complaints.expected += REFUSED
    captions = await browser.open(stage.url)
    await captions.get_by_role("button", name="Start listening").click()
    await signed_in(captions, keys["captions"])
    await shows(captions.get_by_test_id("transcript"), "a moment after")

    operator = await browser.open(stage.console_url)
    asked: list[str] = []
    operator.on("request", lambda request: asked.append(request.url))
    await signed_in(operator, keys["operator"])
    detail = await opened(operator)
    await detail.get_by_role("button", name="End…").wait_for()
    assert not await detail.get_by_role("button", name="Show what was said").is_visible()
    await assert_kept_nowhere(operator, keys["operator"], asked)

    reader = await browser.open(stage.console_url)
    asked.clear()
    reader.on("request", lambda request: asked.append(request.url))
    await signed_in(reader, keys["reader"])
    detail = await opened(reader)
    button = detail.get_by_role("button", name="Show what was said")
    await button.wait_for()
    assert not await detail.get_by_role("button", name="End…").is_visible()
    assert not await reader.get_by_role("button", name="Drain…").first.is_visible()
    assert not [url for url in asked if "transcript" in url]
    await button.click()
    await shows(detail.get_by_test_id("said"), "welcome to this short recording")


async def opened(console: Page) -> Page:
    """What it shows of the one session."""
    await console.get_by_test_id("sessions").get_by_role("rowheader").get_by_role("button").click()
    detail = console.get_by_test_id("detail")
    await detail.get_by_test_id("timeline").locator("svg").wait_for()
    return detail
