"""Transcribe the microphone for ten seconds and print the words as they come.

    pip install 'parley[mic]'                     # and, on Debian and Ubuntu: apt install libportaudio2
    make serve                                    # in another terminal
    .venv/bin/python examples/microphone.py

`parley transcribe --mic` does the same with a display, until Ctrl-C.
"""

import asyncio
import sys

from parley.client import RealtimeSession, TextDelta, TurnDone, connect
from parley.client.microphone import MicrophoneSource, load_portaudio

DURATION_S = 10


async def send(session: RealtimeSession, microphone: MicrophoneSource) -> None:
    """Send what is said as one turn, until the microphone is stopped."""
    await session.start_turn()
    async with microphone:
        asyncio.get_running_loop().call_later(DURATION_S, microphone.stop)
        async for pcm16 in microphone:
            await session.send_audio(pcm16)
    await session.end_turn()


async def main(url: str) -> None:
    """Send and receive at the same time."""
    microphone = MicrophoneSource(load_portaudio())
    async with connect(url) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(session, microphone))
        async for event in session:
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)
            elif isinstance(event, TurnDone):
                print()
                return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080"))
