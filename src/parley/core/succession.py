"""How a leg that still works is succeeded by another, unseen: make before break."""

from parley.core.content import SAMPLE_RATE, Text
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.narration import Narration
from parley.core.profile import ModelProfile
from parley.core.rejoin import Joint
from parley.core.rotation import Rotation
from parley.core.turns import Turn

_BACKLOG_SAMPLES = SAMPLE_RATE
"""Audio that waits beyond which a leg is held back until its successor has caught up."""


class Succession:
    """Asks for the successor of the leg at work when `rotation` says so, and has it take over when it has caught up."""

    __slots__ = ("_legs", "_narration", "_overlap_max_frames", "_rotation")

    def __init__(self, profile: ModelProfile, legs: Legs, rotation: Rotation, narration: Narration) -> None:
        self._overlap_max_frames = profile.settle_frames
        self._legs = legs
        self._rotation = rotation
        self._narration = narration

    def look(self, leg: Leg, now: float) -> None:
        """Ask for a successor of the leg at work if it is time for one."""
        if self._legs.successor is None and leg.is_steady and self._rotation.is_due(leg.deltas, leg.silent_frames):
            self._rotation.tried(leg.deltas)
            self._legs.open_successor(now)

    def can_begin(self, turn: Turn) -> bool:
        """Whether a successor that is connected can say all that the leg at work has not."""
        old = self._legs.at_work
        assert old is not None, "a successor succeeds somebody"
        return max(turn.replay_point, turn.journal.start) <= old.spoken

    def holds_back(self, leg: Leg, turn: Turn) -> bool:
        """Whether a leg is not fed, because with a backlog its successor would never catch up with it."""
        successor = self._legs.successor
        if successor is None or successor.state is not LegState.RUNNING:
            return False
        return turn.held_samples > _BACKLOG_SAMPLES and successor.consumed < leg.consumed

    def moved(self, successor: Leg, turn: Turn, text: Text) -> None:
        """The successor consumed a frame; it takes over once it has said again what was said."""
        old, rejoin = self._legs.at_work, successor.rejoin
        assert old is not None, "a successor succeeds somebody"
        joint = rejoin.hear(successor.spoken, text) if rejoin is not None else Joint("")
        if successor.consumed < old.consumed:
            return
        successor.overlap_frames += 1
        if joint is None:
            if successor.overlap_frames > self._overlap_max_frames:
                # It says less than the one that it is to succeed.
                self._legs.drop_successor()
            return
        self._legs.succeed()
        self._rotation.replaced(successor.deltas)
        successor.is_replaying = False
        self._narration.hand_over(successor, turn, joint)
