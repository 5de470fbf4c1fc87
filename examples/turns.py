"""Several recordings as the turns of one session, each begun without waiting for the one before.

    make serve                                            # in another terminal
    .venv/bin/python examples/turns.py ws://127.0.0.1:8080 ONE.wav TWO.wav ...

A Parley server takes turns ahead. With a stock vLLM, which would drop their audio, the client holds them back.
"""

import asyncio
import sys
from pathlib import Path

from parley.client import RealtimeSession, TurnDone, TurnFailed, connect
from parley.client.source import open_file


async def send(session: RealtimeSession, paths: list[Path]) -> None:
    """Send every recording as a turn."""
    for path in paths:
        await session.start_turn()
        async with open_file(path) as pieces:
            async for pcm16 in pieces:
                await session.send_audio(pcm16)
        await session.end_turn()


async def main(paths: list[Path], url: str) -> None:
    """Turns end in the order in which they began, and each has exactly one end."""
    async with connect(url) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(session, paths))
        left = len(paths)
        async for event in session:
            if isinstance(event, TurnDone):
                print(f"{event.item}: {event.text}")
            elif isinstance(event, TurnFailed):
                print(f"{event.item}: {event.code}")
            else:
                continue
            left -= 1
            if not left:
                return


if __name__ == "__main__":
    asyncio.run(main([Path(name) for name in sys.argv[2:]], sys.argv[1]))
