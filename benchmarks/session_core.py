"""What Parley's own code costs per message, without sockets: `.venv/bin/python -m benchmarks.session_core`.

One message is an append in, its forward, and a delta back; the rows are the steps on its way. Medians of short runs.
"""

import base64
import random
import sys
import timeit
from collections.abc import Callable
from statistics import median

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.wire import vllm
from parley.wire.dialect import VllmDialect

_ROUNDS = 25
_CALLS = 4000
_APPEND_BYTES = 3200


def _running_session() -> Session:
    # Unpaced, since the clock stands still here.
    session = Session(SessionLimits(pace_window_s=0), ("bench",))
    session.open(0.0)
    for event in (ev.LegOpened(1), ev.ModelNamed("bench"), ev.TurnStarted()):
        session.handle(event, 0.0)
    return session


def _steps() -> dict[str, Callable[[], object]]:
    pcm = random.Random(1).randbytes(_APPEND_BYTES)
    append = b'{"type":"input_audio_buffer.append","audio":"%b"}' % base64.b64encode(pcm)
    delta = b'{"type":"transcription.delta","delta":" word"}'
    dialect, session = VllmDialect(), _running_session()
    audio, text = vllm.parse_client(append), vllm.parse_server(delta)
    assert isinstance(audio, Audio)
    assert isinstance(text, Text)
    # The first piece starts the turn on the leg; from then on the common path takes over.
    assert session.handle(ev.AudioReceived(audio), 1.0)
    assert session.take_audio(audio, 1.0)
    assert session.take_delta(1, text, 1.0)
    return {
        "append to audio": lambda: dialect.receive(append),
        "session: audio": lambda: session.take_audio(audio, 1.0),
        "audio to append": lambda: vllm.encode_append(audio),
        "delta to text": lambda: vllm.parse_server(delta),
        "session: delta": lambda: session.take_delta(1, text, 1.0),
        "text to delta": lambda: dialect.delta(text),
    }


def _time_us(step: Callable[[], object]) -> list[float]:
    return [timeit.timeit(step, number=_CALLS) / _CALLS * 1e6 for _ in range(_ROUNDS)]


def main() -> int:
    print(f"Python {sys.version.split()[0]}, {_ROUNDS} rounds of {_CALLS} calls; us per call: median (least)")
    total = least = 0.0
    for name, step in _steps().items():
        times = _time_us(step)
        total += median(times)
        least += min(times)
        print(f"  {name:24} {median(times):6.2f}  ({min(times):.2f})")
    print(f"  {'all of a message':24} {total:6.2f}  ({least:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
