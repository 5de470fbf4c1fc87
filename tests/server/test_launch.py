import asyncio
from pathlib import Path

import pytest

from parley.server.launch import model_server_child
from parley.server.settings.document import EngineSettings, Settings
from parley.upstream.child.child import LaunchError


async def test_an_engine_without_weights_is_not_started_again(tmp_path: Path) -> None:
    child = model_server_child(Settings(engine=EngineSettings(model_dir=str(tmp_path))), jitter=lambda: 0.5)
    assert child is not None
    async with asyncio.timeout(45):
        with pytest.raises(LaunchError, match="the embedded engine exited with status 3 before it was ready"):
            await child.run()


async def test_the_embedded_engine_becomes_ready_as_a_child() -> None:
    child = model_server_child(Settings(engine=EngineSettings(kind="scripted")), jitter=lambda: 0.5)
    assert child is not None
    async with asyncio.timeout(45):
        running = asyncio.create_task(child.run())
        await child.wait_ready()
        running.cancel()
        await asyncio.wait([running])
