"""What an operator sees of a node: its sessions, its model servers and itself, without anything that was said, by whom,
or what lets anybody in."""

import heapq
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from parley import __version__
from parley.access.action import Target
from parley.core.survey import Survey
from parley.ingress.conversation import Conversation
from parley.ingress.oneshot import BodyAttachment
from parley.observe.loop_lag import LagView, LoopLag
from parley.server.admission_desk import AdmissionDesk, Seat
from parley.server.draining import Draining, DrainState, DrainView
from parley.server.endpoints import OWN_POOL
from parley.server.host import Host
from parley.server.live_sessions import LiveSessions
from parley.server.runner import SessionRunner
from parley.server.session_state import SessionState, state_of
from parley.server.shown_tenant import shown_tenant
from parley.upstream.child.memory import resident_bytes
from parley.upstream.pool.member import MemberView
from parley.upstream.pool.pool import UpstreamPool

PAGE_MAX = 1_000

NodeState = Literal["starting", "ready", "unready", "draining", "drained"]

_AFTER_CHARS_MAX = 128

Found = tuple[SessionRunner, Seat, "Pool"]
"""A session that lives, and where."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Model servers, by the name of what they serve, and the sessions on them."""

    name: str
    servers: UpstreamPool
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session. `began_s` is Unix time; `tenant` a name of the settings, a few letters of a hash for others, or empty
    without credentials; `members` are the model servers of its streams; `transport` is empty while nobody is attached.

    Times are in seconds: `lag_s` behind the audio, `received_s` of audio in all, `held_s` of audio that waits for the
    model, `dropped_s` that no model will hear. `seq` is the last event's number, `generation` that of the connection,
    and `resumptions` counts by outcome how the client came back.
    """

    id: str
    state: SessionState
    began_s: int
    age_s: int
    tenant: str
    pool: str
    model: str
    members: list[str]
    transport: Literal["", "websocket", "http2", "http"]
    attached: bool
    parked: bool
    recovering: str
    lag_s: float
    received_s: float
    held_s: float
    held_bytes: int
    dropped_s: float
    turns: int
    legs: int
    seq: int
    generation: int
    resumptions: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """Sessions, the oldest first. `next` is what to give as `after` for those that follow, empty at the end; `total`
    counts all that live, in whichever state."""

    sessions: list[SessionView]
    next: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamView(MemberView):
    """A model server, and the `pool` that it is a member of. What is not a time is as for members."""

    pool: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """Model servers as one: whether any is there, whether new sessions may begin, streams in use, and the delay that
    one in twenty of those at work is over."""

    name: str
    ready: bool
    takes_new: bool
    streams: int
    lag_p95_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamList:
    """All model servers, and the pools that they form."""

    upstreams: list[UpstreamView]
    pools: list[PoolView]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The node. `live` counts sessions, `queued` those of them that wait for their first stream. `places` are in use by
    the others and by streams on containers, `live_max` at the most; `opening` streams are being opened.

    Since the start: `refused` sessions were not begun, by code, `expired` waited in vain, `ended` and `moved` went.
    `rss_bytes` is memory with what the process has started, null where the system does not tell.
    """

    version: str
    state: NodeState
    uptime_s: int
    live: int
    places: int
    live_max: int
    queued: int
    queue_max: int
    opening: int
    refused: dict[str, int]
    expired: int
    ended: int
    moved: int
    rss_bytes: int | None
    loop_lag: LagView
    drain: DrainView


class Inventory:
    """Looks at a node; nothing is kept but since when. `is_ready` and `was_ready` are of its model servers."""

    def __init__(
        self,
        *,
        live: LiveSessions,
        pools: Sequence[Pool],
        desk: AdmissionDesk,
        draining: Draining,
        loop_lag: LoopLag,
        is_ready: Callable[[], bool],
        was_ready: Callable[[], bool],
    ) -> None:
        self.pools = pools
        self._live = live
        self._desk = desk
        self._draining = draining
        self._loop_lag = loop_lag
        self._is_ready = is_ready
        self._was_ready = was_ready
        self._began = live.clock()

    # ---- the node

    def node(self, window_s: float) -> NodeView:
        """The node, and how late its event loop was in the last so many seconds."""
        live, admission = self._live, self._desk.view
        return NodeView(
            version=__version__,
            state=self._state(),
            uptime_s=round(live.clock() - self._began),
            live=len(live),
            places=admission.live,
            live_max=admission.live_max,
            queued=admission.queued,
            queue_max=admission.queue_max,
            opening=admission.opening,
            refused=dict(live.refused),
            expired=admission.expired,
            ended=live.ended,
            moved=live.moved,
            rss_bytes=resident_bytes(os.getpid()),
            loop_lag=self._loop_lag.view(window_s),
            drain=self._draining.view(),
        )

    def _state(self) -> NodeState:
        drain = self._draining.view().state
        if drain in (DrainState.DRAINED, DrainState.OVER):
            return "drained"
        if drain is not DrainState.SERVING:
            return "draining"
        if self._is_ready():
            return "ready"
        return "unready" if self._was_ready() else "starting"

    # ---- model servers

    def upstreams(self) -> UpstreamList:
        """The model servers."""
        return UpstreamList(
            upstreams=[_upstream(pool.name, view) for pool in self.pools for view in pool.servers.views()],
            pools=[
                PoolView(
                    name=pool.name,
                    ready=pool.servers.ready,
                    takes_new=pool.servers.takes_new,
                    streams=pool.servers.streams,
                    lag_p95_s=round(pool.servers.lag_p95_s, 3),
                )
                for pool in self.pools
            ],
        )

    # ---- sessions

    def find(self, session_id: str) -> tuple[SessionRunner, Pool] | None:
        """The runner of a session, and the pool that it is on."""
        return next(((runner, pool) for runner, _, pool in self._all() if runner.name.session_id == session_id), None)

    def session(self, session_id: str) -> SessionView | None:
        """One session."""
        found = next((one for one in self._all() if one[0].name.session_id == session_id), None)
        return None if found is None else _session(*found, found[0].survey(), _members(found[2]))

    def target_of(self, runner: SessionRunner, pool: Pool) -> Target:
        """Whose a session is, and where, as permissions name it."""
        endpoint = "" if pool.name == OWN_POOL else pool.name.partition("/")[0]
        return Target(self._live.owner(runner).tenant_name, endpoint, pool.host.model)

    def sessions(
        self,
        *,
        state: str = "",
        prefix: str = "",
        limit: int = 100,
        after: str = "",
        is_seen: Callable[[Target], bool] = lambda _: True,
    ) -> SessionPage:
        """At most so many sessions, `PAGE_MAX` at the most, of one state or of all, whose ids begin with `prefix`, and
        that follow what `next` said. Those that are not to be seen are not counted either."""
        limit = min(limit, PAGE_MAX)
        members = {pool.name: _members(pool) for pool in self.pools}
        page: list[SessionView] = []
        following = ""
        seen = [one for one in self._all() if is_seen(self.target_of(one[0], one[2]))]
        for runner, seat, pool in _in_order(seen, prefix, after):
            survey = runner.survey()
            if state and state_of(survey) != state:
                continue
            if len(page) == limit:
                following = _place_of(page[-1].began_s, page[-1].id)
                break
            page.append(_session(runner, seat, pool, survey, members[pool.name]))
        return SessionPage(sessions=page, next=following, total=len(seen))

    def by_age(self) -> list[Found]:
        """All sessions, the oldest first."""
        return sorted(self._all(), key=lambda one: (one[0].name.created_s, one[0].name.session_id))

    def viewer(self) -> Callable[[Found], SessionView]:
        """Shows a session as it is when it is asked, on the model servers that it was on when this was."""
        members = {pool.name: _members(pool) for pool in self.pools}
        return lambda one: _session(*one, one[0].survey(), members[one[2].name])

    def _all(self) -> Iterator[Found]:
        for pool in self.pools:
            for runner, seat in pool.host.seats.items():
                yield runner, seat, pool


def _in_order(sessions: Sequence[Found], prefix: str, after: str) -> Iterator[Found]:
    """Those that follow, by age: whoever ends meanwhile, none is shown twice or left out."""
    number = 0
    heap = []
    for runner, seat, pool in sessions:
        if not runner.name.session_id.startswith(prefix):
            continue
        place = _place_of(runner.name.created_s, runner.name.session_id)
        if place > after:
            # The number decides nothing but keeps the rest from being compared.
            number += 1
            heap.append((place, number, runner, seat, pool))
    heapq.heapify(heap)
    while heap:
        _, _, runner, seat, pool = heapq.heappop(heap)
        yield runner, seat, pool


def _place_of(began_s: int, session_id: str) -> str:
    return f"{began_s:011d}.{session_id}"[:_AFTER_CHARS_MAX]


def _members(pool: Pool) -> dict[int, list[str]]:
    """The names of the model servers that each session has streams on, by the identity of its runner."""
    found: dict[int, list[str]] = {}
    for member in pool.servers.members:
        for watch in member.watches:
            found.setdefault(id(watch.sink), []).append(member.name)
    return found


def _session(
    runner: SessionRunner, seat: Seat, pool: Pool, survey: Survey, members: dict[int, list[str]]
) -> SessionView:
    began_s = runner.name.created_s
    return SessionView(
        id=runner.name.session_id,
        state=state_of(survey),
        began_s=began_s,
        age_s=max(0, round(time.time()) - began_s),
        tenant=shown_tenant(seat.place.tenant.name),
        pool=pool.name,
        model=seat.place.model,
        members=members.get(id(runner), []),
        transport=_transport(runner),
        attached=survey.is_attached,
        parked=survey.is_parked,
        recovering=survey.recovering,
        lag_s=round(survey.lag_s, 3),
        received_s=round(survey.received_s, 3),
        held_s=round(survey.held_s, 3),
        held_bytes=survey.held_bytes,
        dropped_s=round(survey.dropped_s, 3),
        turns=survey.turns,
        legs=survey.legs,
        seq=runner.seq,
        generation=survey.generation,
        resumptions=dict(runner.resumptions),
    )


def _transport(runner: SessionRunner) -> Literal["", "websocket", "http2", "http"]:
    attachment = runner.attachment
    if isinstance(attachment, BodyAttachment):
        return "http"
    if isinstance(attachment, Conversation):
        return "http2" if attachment.transport == "http2" else "websocket"
    return ""


def _upstream(pool: str, view: MemberView) -> UpstreamView:
    return UpstreamView(pool=pool, **{each.name: getattr(view, each.name) for each in fields(MemberView)})
