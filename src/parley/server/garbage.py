"""Python's garbage collector, for a server in which nothing may stop for long.

What sessions hold is given back by counting references, as soon as they end; the collector is there for cycles, of
which failures leave some. A pass over everything stops the event loop: for what was imported at the start, 200,000
objects that never go away, by 150 ms and more.
"""

import gc

_YOUNG_MAX = 2_000
_PASSES_PER_MIDDLE = 4
_PASSES_PER_FULL = 50


def settle_garbage() -> None:
    """Leave what is there now out of every pass to come, and have passes small rather than rare. For a process that is
    a server from here to its end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, _PASSES_PER_MIDDLE, _PASSES_PER_FULL)
