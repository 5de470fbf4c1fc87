"""What whoever asks may do, so that nobody is offered what they would be refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from parley.access.action import NODE_TARGET, Action, Target
from parley.core.errors import ParleyError
from parley.server.admin.asking import Asker

_OF_THE_NODE: tuple[Action, ...] = ("observe", "drain")
_OF_A_SESSION: tuple[Action, ...] = ("observe", "read", "end", "move")

OfSession = Annotated[str, msgspec.Meta(max_length=128, description="Also what they may do with this session.")]


class MeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What it is asked of."""

    session: OfSession = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Whoever asks: `name` is what rules call them, `node` and `session` are the actions that they are allowed on the
    node and on the session that was asked of. `anonymous`: nobody is asked who they are."""

    name: str
    anonymous: bool
    node: list[str]
    session: list[str]


def me(asker: Asker, query: MeQuery, target_of: Callable[[str], Target | None]) -> Me:
    """Who asks, and what they may do. `target_of` says whose a session is.

    Raises:
        ParleyError: session-not-found, also when they may not observe it.
    """
    allowed: list[str] = []
    if query.session:
        of = target_of(query.session)
        if of is None or not asker.may("observe", of):
            raise ParleyError("session-not-found")
        allowed = [action for action in _OF_A_SESSION if asker.may(action, of)]
    return Me(
        name=asker.caller.name,
        anonymous=asker.gate.is_open,
        node=[action for action in _OF_THE_NODE if asker.may(action, NODE_TARGET)],
        session=allowed,
    )
