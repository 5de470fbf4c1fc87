"""The model servers of the settings, as a pool wants to know them."""

from parley.server.launch import engine_sessions_max
from parley.server.options import read_key
from parley.server.settings.document import Settings, UpstreamEntry
from parley.server.settings.upstream import labels_of
from parley.upstream.child.child import ModelServerChild
from parley.upstream.pool.member import MemberSpec


def member_spec(entry: UpstreamEntry, number: int) -> MemberSpec:
    """An entry of [[upstreams]]; `number` is its place there, from 1.

    Raises:
        StartError: its key file can't be read.
    """
    return MemberSpec(
        url=entry.url,
        name=entry.name,
        weight=entry.weight,
        labels=labels_of(entry),
        model=entry.model,
        max_sessions=entry.max_sessions,
        api_key=read_key(entry.api_key_file, f"upstreams, entry {number}, api_key_file"),
    )


def member_specs(settings: Settings, child: ModelServerChild | None) -> tuple[MemberSpec, ...]:
    """The model servers of this node's own sessions: as set, else the one that it launches. None where they are still
    to be discovered, and where the node has no sessions of its own.

    Raises:
        StartError: a key file can't be read.
    """
    upstream = settings.upstream
    if settings.upstreams:
        return tuple(member_spec(entry, number) for number, entry in enumerate(settings.upstreams, 1))
    if urls := upstream.urls or ((upstream.url,) if upstream.url else ()):
        return tuple(MemberSpec(url=url) for url in urls)
    if child is None:
        return ()
    # The embedded engine knows how much it takes; of a server that a command starts only the operator does.
    streams_max = engine_sessions_max(settings.engine) if settings.embeds_engine else 0
    bounds = [bound for bound in (streams_max, upstream.max_sessions) if bound]
    return (MemberSpec(url=child.url, max_sessions=min(bounds, default=0)),)
