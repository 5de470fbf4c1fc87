"""Another device that comes with a session's token, or with something that is none."""

from collections.abc import Callable
from enum import StrEnum

from parley.simulation.invariants import require
from parley.simulation.link import End
from parley.simulation.network import Network
from parley.simulation.resuming_device import ResumingDevice
from parley.simulation.world import World
from parley.wire import contract, contract_requests
from parley.wire.contract_reading import parse_contract

_STAYS_S = 5.0


class Claim(StrEnum):
    """What the other device shows."""

    GOOD = "the token and a number that the server has sent"
    BEHIND = "the token and a number before what was acknowledged"
    AHEAD = "the token and a number that was never sent"
    UNKNOWN = "a token that no session has"
    STRANGER = "the token, with other credentials"


_ANSWERS = {
    Claim.AHEAD: "gap",
    Claim.BEHIND: "gap",
    Claim.UNKNOWN: "unknown-session",
    Claim.STRANGER: "wrong-principal",
}
_CLOSES = {"gap": 4416, "unknown-session": 4404, "wrong-principal": 4403, "superseded": 4409, "expired": 4410}
_STRANGERS_TOKEN = "p1." + "A" * 43


class Rival:
    """Shows up at some time while a device's session is alive; each claim has one answer that is right.

    With a good claim the session is its own from then on: it must get every event after the number that it showed, in
    order, and it ends the session.
    """

    def __init__(
        self,
        world: World,
        network: Network,
        owner: ResumingDevice,
        claim: Claim,
        *,
        at_s: float,
        acked: Callable[[str], int],
    ) -> None:
        """`acked` says how far the owner of a session has acknowledged its events."""
        self._acked = acked
        self.name = f"{owner.name}-rival"
        self.claim = claim
        self.answer = ""
        self.is_master = False
        self.events: list[int] = []
        self._world = world
        self._network = network
        self._owner = owner
        self._close_code: int | None = None
        self._shown = 0
        world.at(at_s, self._come)

    def _come(self) -> None:
        owner = self._owner
        if owner.is_over or not owner.token:
            return
        if self.claim is Claim.BEHIND and not self._acked(owner.session_name):
            self._world.after(1.0, self._come)
            return
        principal = "stranger" if self.claim is Claim.STRANGER else ""
        ignore: Callable[[], None] = lambda: None  # noqa: E731
        self._network.connect(self.name, self, self._opened, ignore, principal=principal, resumes=True, breaks=False)

    def _opened(self, end: End) -> None:
        told = self._owner.told
        self._shown = told.last_seq + (10_000 if self.claim is Claim.AHEAD else 0)
        if self.claim is Claim.BEHIND:
            self._shown = self._acked(self._owner.session_name) - 1
        token = _STRANGERS_TOKEN if self.claim is Claim.UNKNOWN else self._owner.token
        self._world.log(self.name, "comes with {}", self.claim)
        end.send(contract_requests.encode_resume(token, self._shown))

    def message_received(self, end: End, message: bytes) -> None:
        """See `link.Peer`."""
        event = parse_contract(message)
        match event:
            case contract.Created():
                return
            case contract.Resumed():
                self.is_master = True
                self._world.after(_STAYS_S, lambda: end.send(contract_requests.END_SESSION))
            case contract.Failed(parley_code=code, seq=0):
                self.answer = str(code)
            case contract.Ended(reason):
                self.answer = reason
            case _:
                pass
        seq = getattr(event, "seq", 0)
        if seq:
            last = self.events[-1] if self.events else self._shown
            require(seq == last + 1, "{}: event {} came after {}", self.name, seq, last)
            self.events.append(seq)

    def connection_lost(self, _end: End, code: int | None) -> None:
        """See `link.Peer`."""
        self._close_code = code

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`."""

    def check(self) -> None:
        """The answer is the one for the claim.

        Raises:
            InvariantBroken: it is another.
        """
        if not self.answer:
            return
        if self.answer in _CLOSES and self._close_code is not None:
            same = self._close_code == _CLOSES[self.answer]
            require(same, "{}: {} came with close code {}", self.name, self.answer, self._close_code)
        if self.claim in _ANSWERS:
            # A session that ends just then, or whose connection was not yet found lost, answers for itself.
            right = {_ANSWERS[self.claim], "expired", "unknown-session"}
            if self.claim.startswith("the token"):
                # It may also have been on its way for longer than the connection that is attached.
                right.add("superseded")
            require(self.answer in right, "{}: shows {}, is told {}", self.name, self.claim, self.answer)
            require(not self.is_master, "{}: shows {}, and gets the session", self.name, self.claim)
