"""What an operator may ask for: one table of routes, from which requests are answered and the API is described."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from parley.access.action import NODE, NODE_TARGET, Action, Target
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.observe.loop_lag import WINDOW_MAX_S
from parley.server.admin.asking import Asker as Asker
from parley.server.admin.asking import Raw as Raw
from parley.server.admin.inventory import (
    PAGE_MAX,
    Inventory,
    NodeView,
    Pool,
    SessionPage,
    SessionView,
    UpstreamList,
    UpstreamView,
)
from parley.server.admin.permissions import Me, MeQuery, me
from parley.server.admin.retained import (
    TEXT,
    VTT,
    WAV,
    PurgeQuery,
    RetainedOperations,
    RetainedQuery,
    TranscriptQuery,
)
from parley.server.admin.timelines import EndedList, TimelineAnswer, Timelines
from parley.server.admin.watching import EVENT_STREAM, Watching, WatchQuery
from parley.server.draining import Draining, DrainView
from parley.server.retained_views import Purged, RetainedList, TranscriptView
from parley.server.session_state import SESSION_STATES
from parley.server.settings.types import DAY_S
from parley.upstream.pool.pool import UpstreamPool

if TYPE_CHECKING:
    from parley.server.retained import Retained

PREFIX = "/admin/v1"

MOVE_WITHIN_S = 30.0

Timeout = Annotated[float, msgspec.Meta(ge=0, le=DAY_S, description="Seconds.")]
Window = Annotated[float, msgspec.Meta(ge=1, le=WINDOW_MAX_S, description="Seconds that loop_lag is of.")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX, description="Sessions at the most.")]
State = Annotated[
    str, msgspec.Meta(pattern=f"^({'|'.join(SESSION_STATES)})?$", description="Only those of this state.")
]
Prefix = Annotated[str, msgspec.Meta(max_length=64, description="Only those whose ids begin so.")]
After = Annotated[str, msgspec.Meta(max_length=128, description="What `next` of the page before said.")]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No parameters."""


class NodeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What to see of the node."""

    window_s: Window = WINDOW_MAX_S


class SessionQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which sessions to see."""

    state: State = ""
    prefix: Prefix = ""
    limit: Limit = 100
    after: After = ""


class Move(msgspec.Struct, forbid_unknown_fields=True):
    """A session moves at a pause, and `within_s` seconds from now without one."""

    within_s: Timeout = MOVE_WITHIN_S


class UpstreamDrain(msgspec.Struct, forbid_unknown_fields=True):
    """Sessions leave the model server at a pause, and after half of `timeout_s` without one; null: as the settings
    say."""

    timeout_s: Timeout | None = None


class NodeDrain(msgspec.Struct, forbid_unknown_fields=True):
    """Sessions may finish or move for `timeout_s`, `settle_s` from now; null: as the settings say."""

    timeout_s: Timeout | None = None
    settle_s: Timeout | None = None


@dataclass(frozen=True, slots=True)
class Moving:
    """How many of the session's streams were asked to move, and how many model servers are ready beside those that
    it has streams on."""

    legs: int
    others: int


class Operations:
    """What is done, apart from how it is asked for."""

    def __init__(
        self,
        inventory: Inventory,
        draining: Draining,
        upstream_timeout_s: float,
        retained: "Retained | None" = None,
        *,
        timelines: Timelines,
        watching: Watching,
    ) -> None:
        self._timelines = timelines
        self._watching = watching
        self._retained = RetainedOperations(retained)
        self._inventory = inventory
        self._draining = draining
        self._upstream_timeout_s = upstream_timeout_s

    async def check(self, route: "Route", asker: Asker, target: str) -> str:
        """Whether whoever asks may have this route do this; whose affair it is then. A session that they may not
        observe is none that they can find.

        Raises:
            ParleyError: forbidden, session-not-found or nothing-retained.
        """
        if route.scope == "record":
            return await self._retained.check(asker, "read" if route.action == "read" else "end", target)
        if route.scope in ("sessions", "caller", "self"):
            return asker.caller.tenant_name
        if route.scope == "timeline":
            past = self._timelines.target_of(target)
            if past is None or not asker.may("observe", past):
                raise ParleyError("session-not-found")
            asker.gate.allow(asker.caller, route.action, past)
            return past.tenant
        if route.scope == "node":
            asker.gate.allow(asker.caller, route.action, NODE_TARGET)
            return NODE
        found = self._inventory.find(target)
        of = None if found is None else self._inventory.target_of(*found)
        if of is None or not asker.may("observe", of):
            raise ParleyError("session-not-found")
        asker.gate.allow(asker.caller, route.action, of)
        return of.tenant

    def me(self, asker: Asker, _target: str, query: MeQuery) -> Me:
        """What whoever asks may do."""
        return me(asker, query, self._target_of)

    def _target_of(self, session_id: str) -> Target | None:
        found = self._inventory.find(session_id)
        return self._timelines.target_of(session_id) if found is None else self._inventory.target_of(*found)

    def watch(self, asker: Asker, _target: str, query: WatchQuery) -> Raw:
        """What they may observe, as it changes."""
        return self._watching.watch(asker, query)

    def stop_watches(self) -> None:
        """Tell those who watch that the node stops."""
        self._watching.stop()

    def node(self, _asker: Asker, _target: str, query: NodeQuery) -> NodeView:
        """The node."""
        return self._inventory.node(query.window_s)

    def sessions(self, asker: Asker, _target: str, query: SessionQuery) -> SessionPage:
        """A page of the sessions that whoever asks may observe."""
        return self._inventory.sessions(
            state=query.state,
            prefix=query.prefix,
            limit=query.limit,
            after=query.after,
            is_seen=lambda of: asker.may("observe", of),
        )

    def session(self, _asker: Asker, target: str, _query: Nothing) -> SessionView:
        """One session."""
        view = self._inventory.session(target)
        if view is None:
            raise ParleyError("session-not-found")
        return view

    def timeline(self, _asker: Asker, target: str, _query: Nothing) -> TimelineAnswer:
        """A session's timeline, also when it has ended lately."""
        return self._timelines.timeline(target)

    def ended(self, asker: Asker, _target: str, _query: Nothing) -> EndedList:
        """The sessions that have ended lately which whoever asks may observe."""
        return self._timelines.ended(lambda of: asker.may("observe", of))

    def end(self, asker: Asker, target: str, body: Nothing) -> SessionView:
        """End a session; its client is told that the operator did."""
        view = self.session(asker, target, body)
        found = self._inventory.find(target)
        if found is not None:
            found[0].receive(ev.EndAsked())
        return view

    def move(self, _asker: Asker, target: str, body: Move) -> Moving:
        """Have a session's streams move to other model servers."""
        found = self._inventory.find(target)
        if found is None:
            raise ParleyError("session-not-found")
        runner, pool = found
        own = {member.name for member in pool.servers.members if any(watch.sink is runner for watch in member.watches)}
        others = sum(view.state == "ready" and view.name not in own for view in pool.servers.views())
        return Moving(legs=pool.servers.send_away(runner, body.within_s), others=others)

    def upstreams(self, _asker: Asker, _target: str, _query: Nothing) -> UpstreamList:
        """The model servers."""
        return self._inventory.upstreams()

    def drain_upstream(self, _asker: Asker, target: str, body: UpstreamDrain) -> UpstreamList:
        """Give a model server no streams, and have those on it move; in every pool that has one of this name."""
        timeout_s = self._upstream_timeout_s if body.timeout_s is None else body.timeout_s
        return self._change(target, lambda servers: servers.drain(target, timeout_s))

    def undrain_upstream(self, _asker: Asker, target: str, _body: Nothing) -> UpstreamList:
        """Take that back."""
        return self._change(target, lambda servers: servers.undrain(target))

    def _change(self, name: str, change: Callable[[UpstreamPool], bool]) -> UpstreamList:
        pools: list[Pool] = [pool for pool in self._inventory.pools if change(pool.servers)]
        if not pools:
            raise ParleyError("upstream-not-found")
        names = {pool.name for pool in pools}
        found = self._inventory.upstreams()
        changed: list[UpstreamView] = [one for one in found.upstreams if one.name == name and one.pool in names]
        return UpstreamList(upstreams=changed, pools=[pool for pool in found.pools if pool.name in names])

    def drain(self, _asker: Asker, _target: str, body: NodeDrain) -> DrainView:
        """Drain the node; its process goes on."""
        self._draining.hold(timeout_s=body.timeout_s, settle_s=body.settle_s)
        return self._draining.view()

    def undrain(self, _asker: Asker, _target: str, _query: Nothing) -> DrainView:
        """Take that back."""
        if not self._draining.undo():
            raise ParleyError("not-draining")
        return self._draining.view()

    # ---- what is kept

    async def retained(self, asker: Asker, _target: str, query: RetainedQuery) -> RetainedList:
        """Of which sessions something is kept."""
        return await self._retained.list(asker, query)

    async def transcript(self, _asker: Asker, target: str, query: TranscriptQuery) -> TranscriptView | Raw:
        """What was said in a session."""
        return await self._retained.transcript(target, query)

    async def audio(self, _asker: Asker, target: str, _query: Nothing) -> Raw:
        """Its audio."""
        return await self._retained.audio(target)

    async def purge(self, _asker: Asker, target: str, _query: Nothing) -> Purged:
        """Shred what is kept of a session."""
        return await self._retained.purge(target)

    async def purge_many(self, asker: Asker, _target: str, query: PurgeQuery) -> Purged:
        """Shred what is kept of many."""
        return await self._retained.purge_many(asker, query)


@dataclass(frozen=True, slots=True)
class Route:
    """A route: `takes` are the fields of its body, or of its query for GET and DELETE; `fails` the codes of errors of
    its own. `action` is what whoever asks has to be allowed, on what `scope` says: the node, the session of the path,
    that session although it may have ended (`timeline`), what is kept of it (`record`), each session that is then
    shown, what the operation finds out itself (`caller`), or nothing, where it is about them alone (`self`). `target`
    is the placeholder in the path, if there is one, `media` what is answered with beside JSON, or instead."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    action: Action
    scope: Literal["node", "session", "timeline", "sessions", "record", "caller", "self"]
    summary: str
    takes: type[msgspec.Struct]
    gives: type[object]
    perform: Callable[[Operations, Asker, str, Any], object]
    fails: tuple[str, ...] = ()
    target: str = ""
    media: tuple[str, ...] = ()

    @property
    def has_body(self) -> bool:
        """Whether the fields come in a body."""
        return self.method == "POST"


_ID = "id"
_NAME = "name"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/me", "observe", "self", "See what you may do", MeQuery, Me, Operations.me, ("session-not-found",)),
    Route(
        *("GET", "/watch", "observe", "caller", "Be told what changes, as server-sent events"),
        *(WatchQuery, Raw, Operations.watch),
        fails=("at-capacity",),
        media=(EVENT_STREAM,),
    ),
    Route("GET", "/node", "observe", "node", "See the node", NodeQuery, NodeView, Operations.node),
    Route("GET", "/sessions", "observe", "sessions", "List sessions", SessionQuery, SessionPage, Operations.sessions),
    Route(
        *("GET", "/sessions/{id}", "observe", "session", "See a session", Nothing, SessionView, Operations.session),
        fails=("session-not-found",),
        target=_ID,
    ),
    Route(
        *("GET", "/sessions/{id}/timeline", "observe", "timeline", "See what happened in a session, and when"),
        *(Nothing, TimelineAnswer, Operations.timeline),
        fails=("session-not-found",),
        target=_ID,
    ),
    Route(
        *("GET", "/ended", "observe", "sessions", "List the sessions that have ended lately"),
        *(Nothing, EndedList, Operations.ended),
    ),
    Route(
        *("POST", "/sessions/{id}/end", "end", "session", "End a session", Nothing, SessionView, Operations.end),
        fails=("session-not-found",),
        target=_ID,
    ),
    Route(
        *("POST", "/sessions/{id}/move", "move", "session", "Move a session's streams to other model servers"),
        *(Move, Moving, Operations.move),
        fails=("session-not-found",),
        target=_ID,
    ),
    Route("GET", "/upstreams", "observe", "node", "List model servers", Nothing, UpstreamList, Operations.upstreams),
    Route(
        *("POST", "/upstreams/{name}/drain", "drain", "node", "Drain a model server"),
        *(UpstreamDrain, UpstreamList, Operations.drain_upstream),
        fails=("upstream-not-found",),
        target=_NAME,
    ),
    Route(
        *("POST", "/upstreams/{name}/undrain", "drain", "node", "Use a drained model server again"),
        *(Nothing, UpstreamList, Operations.undrain_upstream),
        fails=("upstream-not-found",),
        target=_NAME,
    ),
    Route("POST", "/drain", "drain", "node", "Drain the node", NodeDrain, DrainView, Operations.drain),
    Route(
        *("DELETE", "/drain", "drain", "node", "Take the node's drain back", Nothing, DrainView, Operations.undrain),
        fails=("not-draining",),
    ),
    Route(
        *("GET", "/retained", "observe", "sessions", "List the sessions of which something is kept"),
        *(RetainedQuery, RetainedList, Operations.retained),
        fails=("retention-unavailable",),
    ),
    Route(
        *("GET", "/sessions/{id}/transcript", "read", "record", "Read what was said in a session"),
        *(TranscriptQuery, TranscriptView, Operations.transcript),
        fails=("nothing-retained", "retention-unavailable"),
        target=_ID,
        media=(TEXT, VTT),
    ),
    Route(
        *("GET", "/sessions/{id}/audio", "read", "record", "Hear what was said in a session"),
        *(Nothing, Raw, Operations.audio),
        fails=("nothing-retained", "retention-unavailable"),
        target=_ID,
        media=(WAV,),
    ),
    Route(
        *("DELETE", "/sessions/{id}/retained", "end", "record", "Shred what is kept of a session"),
        *(Nothing, Purged, Operations.purge),
        fails=("nothing-retained", "retention-unavailable"),
        target=_ID,
    ),
    Route(
        *("DELETE", "/retained", "end", "caller", "Shred what is kept of a tenant's sessions, or what has expired"),
        *(PurgeQuery, Purged, Operations.purge_many),
        fails=("retention-unavailable",),
    ),
)


def read_query(kind: type[msgspec.Struct], query: Mapping[str, str]) -> msgspec.Struct:
    """The fields of a query string.

    Raises:
        ParleyError: bad-request.
    """
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ParleyError("bad-request", f"The query is not what the route takes: {_reason(error)}.") from None


def read_body(kind: type[msgspec.Struct], body: bytes) -> msgspec.Struct:
    """The fields of a body; none is an empty one.

    Raises:
        ParleyError: bad-request.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ParleyError("bad-request", f"The body is not what the route takes: {_reason(error)}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ParleyError("bad-request", "The body is not JSON.") from None


def _reason(error: msgspec.ValidationError) -> str:
    # Names of fields that are unknown are the caller's own words.
    text = str(error)
    return "it has an unknown field" if "unknown field" in text else text
