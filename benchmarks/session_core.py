"""What Parley's own code costs per message, without sockets: `.venv/bin/python -m benchmarks.session_core`.

One message is an append in, its forward, and a delta back; the rows are the steps on its way: for a forwarder that
checks what it passes on and keeps no session, for a session, and for one that can be resumed. Medians of short runs.
"""

import base64
import random
import sys
import timeit
from collections.abc import Callable
from statistics import median

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.wire import vllm
from parley.wire.dialect import VllmDialect

_ROUNDS = 25
_CALLS = 4000
_APPEND_BYTES = 3200


class _Served:
    """A session in its turn, driven as a runner drives it. Unpaced, since the clock stands still here."""

    def __init__(self, *, opts_in: bool) -> None:
        self.session = Session(SessionLimits(pace_window_s=0), ("bench",))
        self.last = 0
        self._events = 0
        self.session.open(0.0)
        self._client(ev.ModelNamed("bench"))
        if opts_in:
            self._client(ev.ResumeEnabled())
        self.session.handle(ev.LegOpened(1), 0.0)
        self._client(ev.TurnStarted())

    def _client(self, event: ev.ClientEvent) -> list[ef.Effect]:
        return self.session.handle_client(event, 1, 1.0)

    def audio(self, audio: Audio) -> Audio | None:
        """A piece comes; what goes to the leg."""
        if self.session.take_audio(audio, 1, 1.0):
            return audio
        effects = self._client(ev.AudioReceived(audio))
        return next((effect.audio for effect in effects if isinstance(effect, ef.SendAudio)), None)

    def delta(self, text: Text) -> ef.SendDelta | None:
        """A delta comes; what goes to the client, who acknowledges every 32 of them."""
        if self.session.take_delta(1, text, 1.0):
            return ef.SendDelta(text)
        effects = self.session.handle(ev.DeltaReceived(1, text), 1.0)
        self._events += 1
        if self._events % 32 == 0:
            self._client(ev.OutputAcked(self._events))
        return next((effect for effect in effects if isinstance(effect, ef.SendDelta)), None)


def _steps() -> dict[str, dict[str, Callable[[], object]]]:
    pcm = random.Random(1).randbytes(_APPEND_BYTES)
    append = b'{"type":"input_audio_buffer.append","audio":"%b"}' % base64.b64encode(pcm)
    delta = b'{"type":"transcription.delta","delta":" word"}'
    dialect, plain, opted = VllmDialect(), _Served(opts_in=False), _Served(opts_in=True)
    audio, text = vllm.parse_client(append), vllm.parse_server(delta)
    assert isinstance(audio, Audio)
    assert isinstance(text, Text)
    # The first piece starts the turn on the leg; from then on the common path takes over.
    for served in (plain, opted):
        assert served.audio(audio)
        assert served.delta(text)
    wire: dict[str, Callable[[], object]] = {
        "append to audio": lambda: dialect.receive(append),
        "audio to append": lambda: vllm.encode_append(audio),
        "delta to text": lambda: vllm.parse_server(delta),
        "text to delta": lambda: dialect.delta(text),
    }
    numbered = {**wire, "text to delta": lambda: dialect.delta(text, 1_000, 1)}
    return {
        "a bare forwarder": wire,
        "with its session": {
            **wire,
            "session: audio": lambda: plain.audio(audio),
            "session: delta": lambda: plain.delta(text),
        },
        "with its session, under the contract": {
            **numbered,
            "session: audio": lambda: opted.audio(audio),
            "session: delta": lambda: opted.delta(text),
        },
    }


def _time_us(step: Callable[[], object]) -> list[float]:
    return [timeit.timeit(step, number=_CALLS) / _CALLS * 1e6 for _ in range(_ROUNDS)]


def main() -> int:
    print(f"Python {sys.version.split()[0]}, {_ROUNDS} rounds of {_CALLS} calls; us per call: median (least)")
    floor = 0.0
    for title, steps in _steps().items():
        print(title)
        total = least = 0.0
        for name, step in steps.items():
            times = _time_us(step)
            total += median(times)
            least += min(times)
            print(f"  {name:24} {median(times):6.2f}  ({min(times):.2f})")
        floor = floor or total
        print(f"  {'all of a message':24} {total:6.2f}  ({least:.2f})  {total / floor:.2f} x the forwarder")
    return 0


if __name__ == "__main__":
    sys.exit(main())
