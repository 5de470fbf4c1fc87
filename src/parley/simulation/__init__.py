"""The real core and the real client under one virtual clock, with everything that goes wrong between them.

`run(Options(seed=1))` is one run: the same seed, the same events. `docs/simulate.md` says what is checked.
"""

from parley.simulation.options import Options
from parley.simulation.run import Report, run

__all__ = ["Options", "Report", "run"]
