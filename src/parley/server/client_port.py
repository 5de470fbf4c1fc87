"""A session, as one connection of its client sees it."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio
from parley.ingress.attachment import SessionName
from parley.server.gathering import Gathering


class Receiver(Protocol):
    """What takes in what clients do: the session's runner."""

    name: SessionName
    gathers: Callable[[], int] | None

    def receive_client(self, generation: int, event: ev.ClientEvent) -> None:
        """What the client of this generation did."""

    def receive_audio(self, generation: int, audio: Audio, messages: int = 1) -> None:
        """Its audio."""

    def abandon(self) -> None:
        """Drop the session, in which nothing has happened."""


class ClientPort:
    """See `SessionPort`.

    Its methods are the runner's with the generation bound to them: a call costs no frame more than the runner's own.
    """

    __slots__ = ("abandon", "name", "receive", "receive_audio", "start")

    def __init__(self, runner: Receiver, generation: int, start: Callable[[], None]) -> None:
        self.name = runner.name
        self.start = start
        self.receive: Callable[[ev.ClientEvent], None] = partial(runner.receive_client, generation)
        self.receive_audio: Callable[[Audio], None] = partial(runner.receive_audio, generation)
        self.abandon = runner.abandon
        if runner.gathers is not None:
            gathering = Gathering(runner.gathers, self.receive, partial(runner.receive_audio, generation))
            self.receive, self.receive_audio = gathering.receive, gathering.receive_audio
