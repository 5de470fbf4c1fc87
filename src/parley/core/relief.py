"""How a leg goes that still works: because its server is to be relieved of it, or because it is too old."""

from parley.core.errors import ParleyError
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.losses import Losses
from parley.core.profile import ModelProfile
from parley.core.rotation import Rotation
from parley.core.succession import Succession


class Relief:
    """Replaces the leg at work, make before break where it can, and otherwise the other way round, unseen as well: as
    if the leg were lost, but without telling anybody."""

    __slots__ = ("_legs", "_losses", "_pause_frames", "_rotation", "_succession")

    def __init__(
        self, profile: ModelProfile, legs: Legs, rotation: Rotation, losses: Losses, succession: Succession
    ) -> None:
        self._pause_frames = profile.settle_frames
        self._legs = legs
        self._rotation = rotation
        self._losses = losses
        self._succession = succession

    def drop(self) -> None:
        """Nothing more is wanted of the leg at work."""
        self._legs.drop()
        self._rotation.withdraw()

    @property
    def is_quiet(self) -> bool:
        """Whether a leg that works is in a pause, in which another may begin without hearing words twice; also when
        none is at work."""
        leg = self._legs.at_work
        if leg is None or not leg.is_at_work:
            return True
        return leg.is_steady and leg.silent_frames >= self._pause_frames

    def ask(self, leg_id: int, at_once_at: float | None, now: float) -> None:
        """A model server should be relieved of a leg, 0 whichever is at work: at its next pause, or without one from a
        time on. One that ends its turn may; one between turns goes."""
        leg, successor = self._legs.at_work, self._legs.successor
        if successor is not None and successor.id == leg_id:
            # Another is tried later.
            self._legs.drop_successor()
        elif leg is None or leg_id not in (0, leg.id) or leg.state is LegState.CONNECTING:
            # It is gone, or not there yet.
            return
        elif leg.state is LegState.READY:
            self.drop()
        else:
            self._rotation.ask(at_once_at)
            self.look(leg, now)

    def look(self, leg: Leg, now: float) -> None:
        """Replace the leg at work if it is time to."""
        self._rotation.look(now)
        if self._rotation.must_break and leg.is_steady:
            self._break(leg, ParleyError("upstream-closed", "Its server is being relieved."), now)
        else:
            self._succession.look(leg, now)

    def no_room(self, error: ParleyError, now: float) -> None:
        """There is no second stream to be had: at a pause, where there is little to be said again, or when the model
        can't go on, the leg at work makes room for its successor. Otherwise it is tried again later."""
        leg = self._legs.at_work
        assert leg is not None, "a successor succeeds somebody"
        if leg.is_steady and (self.is_quiet or self._rotation.is_forced(leg.deltas)):
            self._break(leg, error, now)

    def _break(self, leg: Leg, reason: ParleyError, now: float) -> None:
        assert leg.turn is not None, "it works"
        self.drop()
        self._losses.begin(leg, leg.turn, reason, now, is_told=False).schedule(now)
        self._losses.retry(now)
