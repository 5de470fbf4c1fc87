"""The system's Chromium, driven by Playwright, with a recording for a microphone."""

import importlib
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
HOW_TO_RUN = "run: make test-browser"
PATIENCE_S = 45.0
"""For anything that a page is to show."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

Page = Any
"""Playwright's; it is not part of the environment that types are checked in."""


def chromium() -> str:
    """The browser's path; empty if there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path), "")


def why_not() -> str:
    """Why no browser can be driven here, and what to do; empty if one can."""
    if importlib.util.find_spec("playwright") is None:
        return f"Playwright is not installed; {HOW_TO_RUN}"
    if not chromium():
        return f"Chromium is not installed (Debian: apt-get install chromium); then {HOW_TO_RUN}"
    return ""


def is_asked_for() -> bool:
    """Whether this run is there for the browser, so that one without is a failure."""
    return bool(os.environ.get("BROWSER_TESTS"))


def screenshots() -> Path:
    """Where pictures go."""
    return Path(os.environ.get("SCREENSHOTS") or REPOSITORY / ".cache" / "browser" / "screenshots")


@dataclass
class Complaints:
    """What a browser had to say against its pages: errors, refusals of their policy, requests to elsewhere.

    `expected` are pieces of what a test provokes."""

    hosts: Sequence[str]
    expected: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """To this page from now on."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.heard.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((*self.hosts, "blob:", "data:")):
            self.heard.append(f"asked elsewhere: {request.url}")

    def check(self) -> None:
        """Fails with what was not expected."""
        left = [said for said in self.heard if not any(piece in said for piece in self.expected)]
        assert left == []


@dataclass
class Browser:
    """A running one; pages of it are windows of their own, with nothing kept from others."""

    _chromium: Any
    complaints: Complaints

    async def open(
        self, url: str, *, size: tuple[int, int] = (1280, 800), scheme: str = "light", **options: Any
    ) -> Page:
        """A page, loaded."""
        context = await self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            permissions=["microphone", "clipboard-read", "clipboard-write"],
            # Pictures and clicks are not to wait for what moves.
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        page = await context.new_page()
        self.complaints.listen(page)
        await page.goto(url)
        return page


@asynccontextmanager
async def browsing(recording: Path, *hosts: str) -> AsyncIterator[Browser]:
    """A browser whose microphone hears this WAV, once, from the moment that it is opened. What its pages complain of
    fails the test, and so does a request to anywhere but `hosts`."""
    api = importlib.import_module("playwright.async_api")
    arguments = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}%noloop",
        "--disable-background-networking",
    ]
    async with api.async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        browser = Browser(running, Complaints(hosts))
        try:
            yield browser
            browser.complaints.check()
        finally:
            print("\n".join(browser.complaints.heard))
            await running.close()


async def shows(locator: Any, text: str, *, within_s: float = PATIENCE_S) -> None:
    """Wait until it contains the text."""
    expect = importlib.import_module("playwright.async_api").expect
    await expect(locator).to_contain_text(text, timeout=within_s * 1000, ignore_case=True)
