"""A connection as two streams of bytes, with what networks do to them.

Messages cross it with their length before them, so a connection that breaks at any byte may cut one in two; a cut
message is never delivered. The two ends learn of a break apart: until it does, an end goes on sending, and what it sent
before may still arrive. That is how late bytes of an old connection come about.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from parley.simulation.world import World

_HEAD_BYTES = 4
_HIGH_WATER_BYTES = 16_384
_LOW_WATER_BYTES = 4_096
NO_CLOSE_FRAME = None
"""The close code of a connection that broke."""


class Peer(Protocol):
    """Whoever holds an end of a link."""

    def message_received(self, end: "End", message: bytes) -> None:
        """A whole message arrived."""

    def connection_lost(self, end: "End", code: int | None) -> None:
        """The other end closed it with this code, or it broke; nothing comes of this end any more."""

    def writing_blocked(self, end: "End", is_blocked: bool) -> None:
        """The other end does not read, or reads again."""


@dataclass(slots=True)
class LinkQuality:
    """What a connection is like: seconds of delay each way, and the part of chunks that are cut in two."""

    latency_s: float = 0.01
    jitter_s: float = 0.0
    split_rate: float = 0.0


class _Stream:
    """The bytes of one direction, in order."""

    __slots__ = (
        "_arrived",
        "_assembling",
        "_batches",
        "_in_flight",
        "_quality",
        "_to",
        "_world",
        "break_in_bytes",
        "is_broken",
        "is_dead",
        "is_paused",
        "is_swallowed",
        "last_at",
        "stalled_until",
        "unread_bytes",
    )

    def __init__(self, world: World, quality: LinkQuality, to: "End") -> None:
        self._world = world
        self._quality = quality
        self._to = to
        self.last_at = 0.0
        self._in_flight: deque[bytes | int] = deque()
        self._batches: deque[int] = deque()
        self._arrived: deque[bytes | int] = deque()
        self._assembling = b""
        self.unread_bytes = 0
        self.stalled_until = 0.0
        self.is_paused = False
        self.is_dead = False
        self.is_broken = False
        self.is_swallowed = False
        self.break_in_bytes: int | None = None

    def write(self, message: bytes) -> bool:
        """Put a message on its way; False when the connection breaks within it."""
        if self.is_broken:
            return True
        chunk = len(message).to_bytes(_HEAD_BYTES, "big") + message
        breaks = self.break_in_bytes is not None and self.break_in_bytes < len(chunk)
        if self.break_in_bytes is not None:
            if breaks:
                chunk = chunk[: self.break_in_bytes]
            self.break_in_bytes -= len(chunk)
            self.is_broken = breaks
        self.unread_bytes += len(chunk)
        if self._quality.split_rate and self._world.chance.random() < self._quality.split_rate:
            cut = self._world.chance.randrange(len(chunk) + 1)
            self._carry(chunk[:cut])
            chunk = chunk[cut:]
        self._carry(chunk)
        return not breaks

    def write_close(self, code: int) -> None:
        """The closing frame, behind everything written before."""
        if not self.is_broken:
            self._carry(code)

    def _carry(self, item: bytes | int) -> None:
        if self.is_dead or self.is_swallowed:
            return
        quality, world = self._quality, self._world
        delay_s = quality.latency_s
        if quality.jitter_s:
            delay_s += world.chance.random() * quality.jitter_s
        arrives_before = self.last_at
        self.last_at = max(arrives_before, world.now + delay_s, self.stalled_until)
        self._in_flight.append(item)
        if self._batches and self.last_at == arrives_before:
            # It arrives together with what was written just before.
            self._batches[-1] += 1
        else:
            self._batches.append(1)
            world.at(self.last_at, self._arrive)

    def _arrive(self) -> None:
        if self.is_dead or self.is_swallowed:
            return
        if self._world.now < self.stalled_until:
            # The network stalled while this was on its way; what follows it comes later still.
            self.last_at = max(self.last_at, self.stalled_until)
            self._world.at(self.stalled_until, self._arrive)
            return
        # The oldest, whichever arrival this is: streams keep their order.
        for _ in range(self._batches.popleft()):
            self._arrived.append(self._in_flight.popleft())
        self.read()

    def read(self) -> None:
        """Hand over what has arrived, unless nobody reads."""
        if self._assembling:
            self._deliver()
        while self._arrived and not self.is_paused and not self.is_dead:
            item = self._arrived.popleft()
            if isinstance(item, int):
                self._to.closed_by_other(item)
                return
            self.unread_bytes -= len(item)
            self._assembling += item
            self._deliver()
        writer = self._to.other
        if writer.is_blocked:
            writer.drained()

    def _deliver(self) -> None:
        while len(self._assembling) >= _HEAD_BYTES and not self.is_dead and not self.is_paused:
            end = _HEAD_BYTES + int.from_bytes(self._assembling[:_HEAD_BYTES], "big")
            if len(self._assembling) < end:
                return
            message, self._assembling = self._assembling[_HEAD_BYTES:end], self._assembling[end:]
            self._to.deliver(message)

    def kill(self) -> None:
        """Nothing more arrives."""
        self.is_dead = True
        self._in_flight.clear()
        self._batches.clear()
        self._arrived.clear()
        self._assembling = b""
        self.unread_bytes = 0


class End:
    """One end of a link. After `close`, `abort` or a loss it is of no further use."""

    def __init__(self, name: str, link: "Link") -> None:
        self.name = name
        self.other: End
        self.out: _Stream
        self.into: _Stream
        self.is_open = True
        self.is_closing = False
        self.is_blocked = False
        self._link = link
        self._peer: Peer | None = None

    def attach(self, peer: Peer) -> None:
        """Who gets what arrives here."""
        self._peer = peer

    def send(self, message: bytes) -> None:
        """Send a message; nothing happens if the connection is gone without our knowing."""
        if not self.is_open or self.is_closing:
            return
        if not self.out.write(message):
            self._link.broke(self)
            return
        if not self.is_blocked and self.out.unread_bytes > _HIGH_WATER_BYTES and self._peer is not None:
            self.is_blocked = True
            self._peer.writing_blocked(self, True)

    def close(self, code: int = 1000) -> None:
        """Close after what was sent before; the other end is told the code."""
        if self.is_open:
            self.out.write_close(code)
            self._shut()

    def close_and_listen(self, code: int) -> None:
        """Close after what was sent before, and go on reading until the other end has closed, as WebSockets do."""
        if self.is_open and not self.is_closing:
            self.is_closing = True
            self.out.write_close(code)
            self._link.close_at_last(self)

    def abort(self) -> None:
        """Drop the connection; the other end learns of it without a code."""
        if self.is_open:
            self._shut()
            self._link.lose(self.other)

    def pause(self, is_paused: bool) -> None:
        """Stop or go on reading."""
        self.into.is_paused = is_paused
        if not is_paused and self.is_open:
            self.into.read()

    def deliver(self, message: bytes) -> None:
        """A whole message arrived."""
        if self.is_open and self._peer is not None:
            self._peer.message_received(self, message)

    def drained(self) -> None:
        """The other end has read something."""
        if self.is_open and self.is_blocked and self.out.unread_bytes < _LOW_WATER_BYTES:
            self.is_blocked = False
            assert self._peer is not None
            self._peer.writing_blocked(self, False)

    def closed_by_other(self, code: int | None) -> None:
        """The other end's closing frame arrived, or this end found the connection broken."""
        if not self.is_open:
            return
        self._shut()
        if code is not None:
            self._link.lose(self.other)
        if self._peer is not None:
            self._peer.connection_lost(self, code)

    def _shut(self) -> None:
        self.is_open = False
        self.into.kill()


class Link:
    """A connection between two ends, and the faults it can be given."""

    def __init__(
        self,
        world: World,
        names: tuple[str, str],
        quality: LinkQuality,
        *,
        keep_alive_s: float = 20.0,
        discovery_max_s: float = 0.0,
    ) -> None:
        """`keep_alive_s`: how long an end takes to find out that the other's bytes no longer arrive; a break is found
        out by each end within `discovery_max_s`."""
        self._world = world
        self._keep_alive_s = keep_alive_s
        self._discovery_max_s = discovery_max_s
        self.quality = quality
        self.ends = End(names[0], self), End(names[1], self)
        near, far = self.ends
        near.other, far.other = far, near
        near.out = far.into = _Stream(world, quality, far)
        far.out = near.into = _Stream(world, quality, near)

    @property
    def is_open(self) -> bool:
        """Whether either end still thinks that it is connected."""
        return any(end.is_open for end in self.ends)

    def break_after(self, end: int, size_bytes: int) -> None:
        """Break when this end has written so many bytes more; those before still arrive."""
        self.ends[end].out.break_in_bytes = size_bytes

    def reset(self) -> None:
        """Break now; what is on its way may still arrive before its receiver finds out."""
        self._world.log("network", "resets {}-{}", self.ends[0].name, self.ends[1].name)
        for end in self.ends:
            self._find_out(end)

    def broke(self, writer: End) -> None:
        """The stream that this end writes to broke in the middle of a message."""
        self._world.log("network", "breaks {}-{} within a message", self.ends[0].name, self.ends[1].name)
        self._find_out(writer.other)
        self._find_out(writer)

    def stall(self, seconds: float) -> None:
        """Nothing arrives in either direction for a time; nothing is lost."""
        self._world.log("network", "stalls {}-{} for {:.1f} s", self.ends[0].name, self.ends[1].name, seconds)
        for end in self.ends:
            end.into.stalled_until = self._world.now + seconds

    def half_close(self, end: int) -> None:
        """What this end writes arrives no more, and nobody is told; both find out by their keep-alive."""
        self._world.log("network", "swallows what {} writes", self.ends[end].name)
        self.ends[end].out.is_swallowed = True
        near, far = self.ends
        self._world.after(self._keep_alive_s, lambda: self._lost(near))
        self._world.after(self._keep_alive_s, lambda: self._lost(far))

    def linger(self, seconds: float) -> None:
        """The first end loses the connection; what it wrote arrives so much later, before the second end finds out."""
        near, far = self.ends
        self._world.log("network", "breaks {}, whose bytes linger for {:.1f} s", near.name, seconds)
        far.into.stalled_until = max(far.into.stalled_until, self._world.now + seconds)
        near.closed_by_other(None)
        self._world.after(seconds + self._discovery_max_s + self.quality.latency_s, lambda: self._lost(far))

    def close_at_last(self, end: End) -> None:
        """An end waits for the other's close; not for ever."""
        self._world.after(self._keep_alive_s, lambda: self._lost(end))

    def lose(self, end: End) -> None:
        """This end finds out later that the other is gone, once what is on its way has arrived."""
        arrives_at = max(self._world.now + self.quality.latency_s, end.into.last_at, end.into.stalled_until)
        self._world.at(min(arrives_at, self._world.now + self._keep_alive_s), lambda: self._lost(end))

    def _lost(self, end: End) -> None:
        end.closed_by_other(None)

    def _find_out(self, end: End) -> None:
        delay_s = self._world.chance.random() * self._discovery_max_s + self.quality.latency_s
        self._world.after(delay_s, lambda: self._lost(end))
