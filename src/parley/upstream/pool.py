"""Several model servers as one upstream: each new leg goes to the one that is best placed for it.

```
open_leg ──► members that are ready, in this order:   not avoided · not just left · fewest open legs
                 │ refused: avoided for a while, taken for gone until it answers a probe; the next one is tried
                 └ connected: counted until it is closed or fails
```
A server is avoided for a while after it refused a leg or a leg on it failed: 0.5 s, doubling to 10 s with failures that
follow each other. That is a preference: where all that are ready are avoided, the one that is free first is taken.
"""

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from parley.aws.address import EndpointAddress, is_sagemaker
from parley.aws.options import AwsOptions
from parley.aws.sdk import make_client
from parley.core import events as ev
from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.upstream.health import Health, HealthOptions, PassiveHealth, UpstreamHealth
from parley.upstream.leg import LegConnection, LegSink, Upstream
from parley.upstream.sagemaker import LEG_AGE_MAX_S, RETIRED, SageMakerUpstream
from parley.upstream.vllm import VllmOptions, VllmUpstream

if TYPE_CHECKING:
    from parley.aws.client import AwsClient

PROMPT_TOKENS = 39
"""Tokens of a generation before the first delta: what vLLM reports for Voxtral."""

TOKEN_S = 0.08
"""Audio for each further token: one delta."""

_AVOID_INITIAL_S = 0.5
_AVOID_MAX_S = 10.0
_FORGET_AFTER_S = 60.0
"""Failures that lie further apart than this do not follow each other."""

_LEFT_RECENTLY_S = 10.0
"""So long after its leg on a server has ended, a session that wants another one may have had reason to leave it."""


class ModelUpstream(Upstream, Protocol):
    """An upstream that names `model` on each leg it opens."""

    model: str


@dataclass(eq=False, slots=True)
class PoolMember:
    """One model server of a pool: how legs on it are opened, what is known of it, and how many are open."""

    upstream: ModelUpstream
    health: Health
    legs: int = 0
    avoided_until: float = field(default=0.0, repr=False)
    failed_at: float = field(default=0.0, repr=False)
    failures: int = field(default=0, repr=False)
    refusal: ParleyError | None = field(default=None, repr=False)

    def failed(self, now: float) -> None:
        """It refused a leg, or one on it failed. Legs that fail together, as with their server, count as one."""
        if now < self.avoided_until:
            return
        self.failures = 1 if now - self.failed_at > _FORGET_AFTER_S else self.failures + 1
        self.failed_at = now
        self.avoided_until = now + min(_AVOID_MAX_S, _AVOID_INITIAL_S * 2 ** min(self.failures - 1, 16))


class UpstreamPool:
    """The model servers behind a node, as an `Upstream`.

    `model` is the name that legs are opened with; empty: the first one that the leg's own server lists. `on_change` is
    called whenever a member is ready or is not any more, `on_end` when `run` is. `clock` gives seconds from any origin.
    """

    def __init__(
        self,
        members: Sequence[PoolMember],
        *,
        connect_timeout_s: float,
        model: str = "",
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.members = tuple(members)
        self._on_end = on_end
        self._connect_timeout_s = connect_timeout_s
        self._model = model
        self._clock = clock
        # By the session's sink, and forgotten with it: the server that it has left, and when.
        self._left: weakref.WeakKeyDictionary[LegSink, tuple[PoolMember, float]] = weakref.WeakKeyDictionary()
        for member in self.members:
            member.health.on_change = lambda _ready: on_change() if on_change is not None else None

    @property
    def ready(self) -> bool:
        """Whether any model server is."""
        return any(member.health.ready for member in self.members)

    @property
    def models(self) -> tuple[str, ...]:
        """The names that the model servers list, each once, in the servers' order."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.health.models))

    @property
    def context_s(self) -> float:
        """The longest generation that every model server takes, in seconds of audio; 0.0 when none of them says."""
        limits = [member.health.max_model_len for member in self.members if member.health.max_model_len]
        return max(0, min(limits, default=PROMPT_TOKENS) - PROMPT_TOKENS) * TOKEN_S

    async def run(self) -> None:
        """Look after the members' health until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for member in self.members:
                    tasks.create_task(member.health.run())
        finally:
            if self._on_end is not None:
                await self._on_end()

    def lost(self) -> None:
        """Take every member for gone until it answers a probe: the process that they are has ended."""
        for member in self.members:
            member.health.lost()

    async def open_leg(self, leg_id: int, sink: LegSink) -> LegConnection:
        """Open a leg on the best member that takes it, within the connect timeout altogether.

        A session's sink should be one object for all its legs: the server of one that it has just closed comes last,
        since only the session sees that a server has fallen silent.

        Raises:
            ParleyError: upstream-unavailable, at once, when no member is ready; else what the last one tried answered.
        """
        deadline = self._clock() + self._connect_timeout_s
        candidates = self._candidates(sink)
        error = self._unready()
        for index, member in enumerate(candidates):
            left_s = deadline - self._clock()
            if left_s <= 0:
                break
            if not member.health.ready:
                # Another leg found out while this one tried elsewhere.
                continue
            has_next = index + 1 < len(candidates)
            # A server that hangs must not use up the time of those behind it.
            try:
                return await self._open_on(member, leg_id, sink, left_s / 2 if has_next else left_s)
            except ParleyError as refusal:
                error = refusal
        raise error

    def _candidates(self, sink: LegSink) -> list[PoolMember]:
        """The members that are ready, the best one first."""
        now = self._clock()
        left, left_at = self._left.get(sink, (None, now))

        def rank(member: PoolMember) -> tuple[float, bool, int]:
            is_just_left = member is left and now - left_at < _LEFT_RECENTLY_S
            return max(0.0, member.avoided_until - now), is_just_left, member.legs

        return sorted((member for member in self.members if member.health.ready), key=rank)

    def _unready(self) -> ParleyError:
        """The error when no member is ready, with what the last one that refused a leg said."""
        refused = [member for member in self.members if member.refusal is not None]
        latest = max(refused, key=lambda member: member.failed_at, default=None)
        detail = latest.refusal.detail if latest is not None and latest.refusal is not None else ""
        return ParleyError("upstream-unavailable", detail or "No model server is ready.")

    async def _open_on(self, member: PoolMember, leg_id: int, sink: LegSink, timeout_s: float) -> LegConnection:
        member.legs += 1
        watch = _LegWatch(sink, lambda has_failed: self._leg_ended(member, sink, has_failed=has_failed))
        member.upstream.model = self._model or next(iter(member.health.models), "")
        try:
            async with asyncio.timeout(timeout_s):
                connection = await member.upstream.open_leg(leg_id, watch)
        except TimeoutError:
            watch.end()
            error = ParleyError("upstream-unavailable", f"It did not answer within {timeout_s:.2g} s.")
            self._refused(member, error)
            raise error from None
        except ParleyError as error:
            watch.end()
            self._refused(member, error)
            raise
        except BaseException:
            watch.end()
            raise
        member.refusal = None
        member.health.seen()
        return _PooledLeg(connection, watch)

    def _refused(self, member: PoolMember, error: ParleyError) -> None:
        member.failed(self._clock())
        member.refusal = error
        # One that has no room is there all the same.
        if error.code != "at-capacity":
            member.health.lost()

    def _leg_ended(self, member: PoolMember, sink: LegSink, *, has_failed: bool) -> None:
        now = self._clock()
        member.legs -= 1
        self._left[sink] = member, now
        if has_failed:
            member.failed(now)
            member.health.suspect()


class _LegWatch:
    """The session's sink as a leg sees it: notices the leg's failure, and holds the leg's place until it has ended.

    Deltas don't pass through here: `receive_delta` is the session's own.
    """

    def __init__(self, sink: LegSink, on_end: Callable[[bool], None]) -> None:
        self._sink = sink
        self._on_end: Callable[[bool], None] | None = on_end
        self.receive_delta: Callable[[int, Text], None] = sink.receive_delta
        self.delay_s: Callable[[int], float] = sink.delay_s

    def receive(self, event: ev.Event) -> None:
        """See `LegSink.receive`."""
        if type(event) is ev.LegFailed:
            # One that was only old says nothing about its server.
            self.end(has_failed=event.error.detail != RETIRED)
        self._sink.receive(event)

    def end(self, *, has_failed: bool = False) -> None:
        """The leg has ended; heard once."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(has_failed)


class _PooledLeg:
    """A leg that gives its place in the pool back. What is called often is the connection's own method."""

    def __init__(self, connection: LegConnection, watch: _LegWatch) -> None:
        self._connection = connection
        self._watch = watch
        self.start_turn = connection.start_turn
        self.send_audio = connection.send_audio
        self.end_turn = connection.end_turn

    def close(self) -> None:
        """See `LegConnection.close`."""
        self._watch.end()
        self._connection.close()


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What the members of a pool of vLLM servers have in common; see `VllmOptions`, `HealthOptions` and
    `SageMakerUpstream`."""

    api_key: str | None = field(default=None, repr=False)
    model: str = ""
    connect_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    probe_interval_s: float = 2.0
    probe_timeout_s: float = 2.0
    sagemaker_leg_age_max_s: float = LEG_AGE_MAX_S


def vllm_pool(urls: Sequence[str], options: PoolOptions, on_change: Callable[[], None] | None = None) -> UpstreamPool:
    """A pool of vLLM servers by their realtime URLs, or by SageMaker's endpoints that they are behind.

    Raises:
        AwsError: sdk-missing, when there is one of SageMaker's and AWS's SDK is not there.
        ValueError: a URL of SageMaker's is wrong.
    """
    aws = None
    if any(is_sagemaker(url) for url in urls):
        aws = make_client(AwsOptions(connect_timeout_s=options.connect_timeout_s))
    return UpstreamPool(
        [
            _sagemaker_member(url, aws, options)
            if aws is not None and is_sagemaker(url)
            else _vllm_member(url, options)
            for url in urls
        ],
        connect_timeout_s=options.connect_timeout_s,
        model=options.model,
        on_change=on_change,
        on_end=None if aws is None else aws.close,
    )


def _sagemaker_member(url: str, aws: "AwsClient", options: PoolOptions) -> PoolMember:
    address = EndpointAddress.parse(url)
    upstream = SageMakerUpstream(
        aws, address, connect_timeout_s=options.connect_timeout_s, leg_age_max_s=options.sagemaker_leg_age_max_s
    )
    return PoolMember(upstream, PassiveHealth(str(address)))


def _vllm_member(url: str, options: PoolOptions) -> PoolMember:
    upstream = VllmUpstream(
        VllmOptions(
            url=url,
            api_key=options.api_key,
            connect_timeout_s=options.connect_timeout_s,
            ping_interval_s=options.ping_interval_s,
            ping_timeout_s=options.ping_timeout_s,
        )
    )
    health = UpstreamHealth(
        HealthOptions(
            url=url,
            api_key=options.api_key,
            probe_interval_s=options.probe_interval_s,
            probe_timeout_s=options.probe_timeout_s,
        )
    )
    return PoolMember(upstream, health)
