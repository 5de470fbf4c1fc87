"""A browser, and a gateway for it; without a browser these tests are skipped, unless they were asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.browser.browser import Browser, browsing, is_asked_for, screenshots, why_not
from tests.browser.microphone import spaced_recording
from tests.browser.stage import Stage, whole_gateway


@pytest.fixture(autouse=True)
def _has_browser() -> None:
    reason = why_not()
    if reason and is_asked_for():
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def options() -> tuple[str, ...]:
    """What the gateway is started with beside; a file of tests has its own."""
    return ()


@pytest.fixture
async def stage(_has_browser: None, options: tuple[str, ...]) -> AsyncIterator[Stage]:
    async with whole_gateway(*options) as stage:
        yield stage


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """What the microphone hears: the recording that comes with Parley, with pauses that end turns."""
    path = tmp_path / "spaced.wav"
    path.write_bytes(spaced_recording())
    return path


@pytest.fixture
async def browser(stage: Stage, recording: Path) -> AsyncIterator[Browser]:
    async with browsing(recording, *stage.hosts) as browser:
        yield browser


@pytest.fixture
def pictures() -> Path:
    """Where they go."""
    folder = screenshots()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
