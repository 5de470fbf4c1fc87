"""Transcribe a recording and print the words as they come.

    make serve                                            # in another terminal
    .venv/bin/python examples/transcribe_file.py FILE.wav

Works with any server that speaks vLLM's realtime protocol: name its URL as a second argument.
"""

import asyncio
import sys
from pathlib import Path

from parley.client import RealtimeSession, TextDelta, TurnDone, connect
from parley.client.source import open_file


async def send(session: RealtimeSession, path: Path) -> None:
    """Send the whole recording as one turn."""
    await session.start_turn()
    async with open_file(path) as pieces:
        async for pcm16 in pieces:
            await session.send_audio(pcm16)
    await session.end_turn()


async def main(path: Path, url: str) -> None:
    """Send and receive at the same time: the text begins long before the recording ends."""
    async with connect(url) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(session, path))
        async for event in session:
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)
            elif isinstance(event, TurnDone):
                print()
                return


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8080"))
