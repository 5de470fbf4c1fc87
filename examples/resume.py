"""Stream a recording as if it were spoken now, and say what happens to the connection on the way.

    make serve                                            # in another terminal
    .venv/bin/python examples/resume.py FILE.wav

Take the network away for up to half a minute, or kill the engine's process: the words go on. The text of a turn may be
revised when another model server hears it again, so a Transcript holds it, not a list of pieces.
"""

import asyncio
import sys
from pathlib import Path

from parley.client import (
    ConnectionLost,
    RealtimeSession,
    Recovered,
    Recovering,
    SessionFailed,
    SessionResumed,
    Transcript,
    TurnDone,
    TurnFailed,
    connect,
)
from parley.client.pacing import RealTimePace
from parley.client.source import open_file


async def send(session: RealtimeSession, path: Path) -> None:
    """Send the recording at the pace of speech; while the connection is away, the session keeps what is said."""
    pace, sent_s = RealTimePace(), 0.0
    await session.start_turn()
    async with open_file(path) as pieces:
        async for pcm16 in pieces:
            sent_s += len(pcm16) / 32_000
            await pace.reach(sent_s)
            await session.send_audio(pcm16)
    await session.end_turn()


async def receive(session: RealtimeSession) -> None:
    """Print what happens, and the text when it is whole."""
    said = Transcript()
    async for event in session:
        said.apply(event)
        match event:
            case ConnectionLost(close_code):
                print(f"connection lost ({close_code}); so far: {said.text()}")
            case SessionResumed(outcome, _, lost_ms, attempts, downtime_s):
                print(f"{outcome} after {downtime_s:.1f} s and {attempts} attempts; lost: {lost_ms or 'nothing'}")
            case Recovering(reason):
                print(f"the server lost its model server: {reason}")
            case Recovered(outcome, replayed_ms, lost_ms):
                print(f"{outcome}; heard again: {replayed_ms}; lost: {lost_ms or 'nothing'}")
            case TurnFailed(_, code):
                print(f"the turn failed: {code}")
                return
            case TurnDone(text):
                print(text)
                return


async def main(path: Path, url: str) -> None:
    """Send and receive at the same time."""
    async with connect(url) as session, asyncio.TaskGroup() as tasks:
        print(f"this session {'outlives' if session.can_resume else 'ends with'} its connection")
        tasks.create_task(send(session, path))
        await receive(session)


if __name__ == "__main__":
    status = 0
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ws://127.0.0.1:8080"))
    except* SessionFailed as failures:
        # The sender and the receiver may both be told.
        print(failures.exceptions[0], file=sys.stderr)
        status = 1
    sys.exit(status)
