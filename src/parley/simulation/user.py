"""Does what a performance says, when its time has come and the client can take it."""

from collections.abc import Callable

from parley.simulation.performance import Performance, Step
from parley.simulation.world import World

_TRY_AGAIN_S = 0.05


class User:
    """`do` takes a step, or says False: then it is tried again, and everything after it waits."""

    def __init__(
        self,
        world: World,
        performance: Performance,
        do: Callable[[Step], bool],
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._world = world
        self._steps = performance.steps
        self._do = do
        self._on_done = on_done
        self._next = 0
        self._began_at = 0.0
        self._is_gone = False

    @property
    def is_done(self) -> bool:
        """Whether every step was done."""
        return self._next == len(self._steps)

    def begin(self) -> None:
        """The time of the steps begins now."""
        self._began_at = self._world.now
        self._go_on()

    def leave(self) -> None:
        """Do no more."""
        self._is_gone = True

    def _go_on(self) -> None:
        steps = self._steps
        while self._next < len(steps) and not self._is_gone:
            step = steps[self._next]
            at = self._began_at + step.at_s
            if at > self._world.now:
                self._world.at(at, self._go_on)
                return
            if not self._do(step):
                self._world.after(_TRY_AGAIN_S, self._go_on)
                return
            self._next += 1
        if self.is_done:
            self._on_done()
