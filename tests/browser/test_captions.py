"""The captions page, by its buttons and words, while a recording is spoken into the browser's microphone."""

import asyncio
import re
from pathlib import Path

import pytest

from parley.cli.demonstration import WORD_ERROR_RATE_MAX, bundled_recording
from parley.client.word_errors import word_error_rate, words_of
from tests.browser.browser import Browser, Page, shows
from tests.browser.stage import Stage, cut, mend

pytestmark = pytest.mark.timeout(300)

LAST_WORDS_WITHIN_S = 45.0
PHONE = (390, 844)


async def begin(page: Page) -> None:
    await page.get_by_role("button", name="Start listening").click()
    await shows(page.get_by_test_id("status"), "Live")


async def finish(page: Page) -> None:
    await page.get_by_role("button", name="Stop listening").click()
    await shows(page.get_by_test_id("status"), "Ready", within_s=LAST_WORDS_WITHIN_S)


async def said(page: Page) -> str:
    """The transcript's words, without the times beside them."""
    return without_times(await page.get_by_test_id("transcript").inner_text())


def without_times(text: str) -> str:
    """As it is shown, or in a text file."""
    return re.sub(r"(?m)^\[?\d+:\d\d(:\d\d)?\]?", "", text)


def assert_whole(text: str) -> None:
    """It is what the recording says, from the first word to the last."""
    with bundled_recording() as recording:
        assert recording.words is not None
        expected = words_of(recording.words)
        assert word_error_rate(recording.words, text) <= WORD_ERROR_RATE_MAX, text
    heard = words_of(text)
    assert heard[0] == expected[0]
    assert heard[-1] == expected[-1]
    # A sentence that is lost is less than what the rate allows.
    for word in ("recording", "moment", "spoken", "screen", "everything", "computer", "ready", "voice"):
        assert word in heard, text


async def test_the_network_is_cut_while_somebody_speaks_and_no_word_is_lost(
    stage: Stage, browser: Browser, pictures: Path
) -> None:
    browser.complaints.expected += ["WebSocket connection to", "ERR_", "Failed to load resource"]
    page = await browser.open(stage.url)
    await begin(page)
    # Text is there while the recording still plays.
    await shows(page.get_by_test_id("transcript"), "welcome")
    await shows(page.get_by_test_id("transcript"), "moment")
    session = await stage.session()
    cut(stage.link)
    await shows(page.get_by_test_id("status"), "Reconnecting")
    await shows(page.get_by_test_id("status"), "of audio kept")
    await shows(page.get_by_test_id("notice"), "Go on speaking")
    await page.screenshot(path=pictures / "captions-reconnecting.png")
    mend(stage.link)
    await shows(page.get_by_test_id("status"), "Resumed · nothing lost")
    assert (await stage.session())["id"] == session["id"]
    await shows(page.get_by_test_id("transcript"), "own voice", within_s=LAST_WORDS_WITHIN_S)
    await finish(page)
    assert_whole(await said(page))
    timeline = await stage.timeline(session["id"])
    assert timeline["totals"]["resumptions"] == {"resumed": 1}
    assert (timeline["totals"]["lost_s"], timeline["totals"]["dropped_s"]) == (0, 0)


async def test_turns_stand_one_below_the_other_with_their_times(stage: Stage, browser: Browser, pictures: Path) -> None:
    page = await browser.open(stage.url)
    await begin(page)
    await shows(page.get_by_test_id("transcript"), "own voice", within_s=LAST_WORDS_WITHIN_S)
    await page.screenshot(path=pictures / "captions-light.png")
    await finish(page)
    turns = await page.get_by_role("list", name="What was said").get_by_role("listitem").all_inner_texts()
    assert [re.match(r"\d:\d\d\n", turn) is not None for turn in turns] == [True] * 4
    assert [words_of(without_times(turn))[-1] for turn in turns] == ["recording", "screen", "computer", "voice"]
    shown = await page.get_by_test_id("elapsed").inner_text()
    assert re.fullmatch(r"0:\d\d", shown)


async def test_large_captions_fill_the_screen_and_keys_alone_will_do(
    stage: Stage, browser: Browser, pictures: Path
) -> None:
    page = await browser.open(stage.url, scheme="dark")
    await page.keyboard.press("Space")
    await shows(page.get_by_test_id("transcript"), "recording")
    await page.keyboard.press("f")
    screen = page.get_by_role("region", name="Large captions")
    await shows(screen, "word is spoken")
    await page.screenshot(path=pictures / "captions-full-screen.png")
    await page.keyboard.press("Escape")
    await screen.wait_for(state="hidden")
    await shows(page.get_by_test_id("transcript"), "everything happens")
    await page.screenshot(path=pictures / "captions-dark.png")
    await page.keyboard.press("Space")
    await shows(page.get_by_test_id("status"), "Ready", within_s=LAST_WORDS_WITHIN_S)
    # Those who hear the page are told sentences.
    await shows(page.get_by_role("log", name="Captions"), "recording.")


async def test_a_recording_is_transcribed_on_a_phone_and_downloaded_in_every_format(
    stage: Stage, browser: Browser, pictures: Path
) -> None:
    page = await browser.open(stage.url, size=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    with bundled_recording() as recording:
        await page.get_by_test_id("file").set_input_files(recording.path)
        await shows(page.get_by_test_id("source"), recording.path.name)
    await shows(page.get_by_test_id("transcript"), "own voice", within_s=LAST_WORDS_WITHIN_S)
    await shows(page.get_by_test_id("status"), "Ready", within_s=LAST_WORDS_WITHIN_S)
    assert_whole(await said(page))
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth"), "it fits the width"
    await page.screenshot(path=pictures / "captions-phone.png")
    written = {name: await downloaded(page, name) for name in ("Text", "Subtitles", "Web captions")}
    assert_whole(without_times(written["Text"]))
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\nHello", written["Subtitles"])
    assert re.match(r"WEBVTT\n\n(.*\n)?00:00:0\d\.\d{3} --> 00:00:\d\d\.\d{3}.*\nHello", written["Web captions"])


async def downloaded(page: Page, form: str) -> str:
    """The file that the menu gives."""
    await page.get_by_role("button", name="Download").click()
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=form, exact=False).first.click()
    download = await waiting.value
    content = await asyncio.to_thread(Path(await download.path()).read_bytes)
    return content.decode()
