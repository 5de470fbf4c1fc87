"""The operator's console, by its buttons and words, beside a captions page whose session it shows."""

import re
from pathlib import Path

import pytest

from tests.browser.browser import Browser, Page, shows
from tests.browser.stage import Stage, cut, mend

pytestmark = pytest.mark.timeout(300)

PHONE = (390, 844)
WIDE = (1440, 900)
CUT = ["WebSocket connection to", "ERR_", "Failed to load resource"]


async def speaking(stage: Stage, browser: Browser) -> Page:
    """A captions page with text on it."""
    captions = await browser.open(stage.url)
    await captions.get_by_role("button", name="Start listening").click()
    await shows(captions.get_by_test_id("transcript"), "welcome")
    return captions


async def row_of(console: Page, session_id: str) -> Page:
    """Its row among the sessions."""
    row = console.get_by_test_id("sessions").get_by_role("row").filter(has_text=session_id.removeprefix("sess-")[:8])
    await row.wait_for()
    return row


async def opened(console: Page, session_id: str) -> Page:
    """What the console shows of it, by the keyboard."""
    row = await row_of(console, session_id)
    await row.get_by_role("button").focus()
    await console.keyboard.press("Enter")
    detail = console.get_by_test_id("detail")
    await shows(detail, session_id)
    return detail


async def test_an_operator_sees_a_session_its_reconnect_and_its_timeline_and_ends_it(
    stage: Stage, browser: Browser, pictures: Path
) -> None:
    browser.complaints.expected += CUT
    captions = await speaking(stage, browser)
    session_id = (await stage.session())["id"]
    console = await browser.open(stage.console_url, size=WIDE)
    await shows(console.get_by_test_id("node-state"), "ready")
    await shows(await row_of(console, session_id), "live")
    cut(stage.link)
    await shows(await row_of(console, session_id), "detached")
    mend(stage.link)
    await shows(captions.get_by_test_id("status"), "Resumed · nothing lost")
    await shows(await row_of(console, session_id), "live")
    detail = await opened(console, session_id)
    timeline = detail.get_by_test_id("timeline")
    await timeline.locator("svg").wait_for()
    for what in ("client away", "attached at .* outcome resumed", "turn 1,"):
        await timeline.get_by_role("img", name=re.compile(what)).first.wait_for(state="attached")
    await shows(detail.get_by_test_id("facts"), "resumed")
    await shows(captions.get_by_test_id("transcript"), "own voice")
    await console.screenshot(path=pictures / "console-light.png")
    await detail.get_by_role("button", name="End…").click()
    await console.get_by_role("dialog").get_by_role("button", name=re.compile("^End")).click()
    await shows(captions.get_by_test_id("notice"), "An operator ended the session")
    await shows(detail, "ended by operator")


async def test_what_was_said_is_nowhere_on_the_console(stage: Stage, browser: Browser) -> None:
    captions = await speaking(stage, browser)
    session_id = (await stage.session())["id"]
    console = await browser.open(stage.console_url)
    asked: list[str] = []
    console.on("request", lambda request: asked.append(request.url))
    await (await opened(console, session_id)).get_by_test_id("timeline").locator("svg").wait_for()
    await shows(captions.get_by_test_id("transcript"), "own voice")
    text = await console.evaluate("document.documentElement.textContent")
    assert not [word for word in ("welcome", "recording", "own voice") if word in text]
    assert not [url for url in asked if "transcript" in url or "audio" in url]


async def test_a_node_is_drained_and_taken_back_only_after_a_question(
    stage: Stage, browser: Browser, pictures: Path
) -> None:
    console = await browser.open(stage.console_url, scheme="dark", size=WIDE)
    await shows(console.get_by_test_id("servers"), "ready")
    await console.get_by_role("button", name="Drain…").first.click()
    dialog = console.get_by_role("dialog")
    await dialog.get_by_role("button", name="Cancel").click()
    assert (await stage.admin.get("node"))["state"] == "ready"
    await console.get_by_role("button", name="Drain…").first.click()
    await dialog.get_by_role("button", name=re.compile("^Drain")).click()
    await shows(console.get_by_test_id("drain"), "drained")
    await console.get_by_role("button", name="Take the drain back…").click()
    await dialog.locator("button[type=submit]").click()
    await console.get_by_test_id("drain").wait_for(state="hidden")
    assert (await stage.admin.get("node"))["drain"]["state"] == "serving"


async def test_a_console_that_lost_its_node_says_so_and_comes_back(stage: Stage, browser: Browser) -> None:
    browser.complaints.expected += CUT
    console = await browser.open(stage.console_url)
    await shows(console.get_by_test_id("link"), "Live")
    cut(stage.admin_link)
    await shows(console.get_by_test_id("link"), "Not connected")
    await shows(console.get_by_test_id("notice"), "Trying again")
    mend(stage.admin_link)
    await shows(console.get_by_test_id("link"), "Live")
    await console.get_by_test_id("notice").wait_for(state="hidden")


async def test_on_a_phone_and_in_the_dark_it_is_all_there(stage: Stage, browser: Browser, pictures: Path) -> None:
    await speaking(stage, browser)
    session_id = (await stage.session())["id"]
    for _ in range(2):
        await (await browser.open(stage.url)).get_by_role("button", name="Start listening").click()
    phone = await browser.open(stage.console_url, size=PHONE, device_scale_factor=2)
    await row_of(phone, session_id)
    assert not await phone.evaluate("document.documentElement.scrollWidth > innerWidth"), "it fits the width"
    await phone.screenshot(path=pictures / "console-phone.png")
    dark = await browser.open(stage.console_url, size=WIDE, scheme="dark")
    await (await opened(dark, session_id)).get_by_test_id("timeline").locator("svg").wait_for()
    await dark.screenshot(path=pictures / "console-dark.png")
