"""What the garbage collector of a server that has started looks at."""

import subprocess
import sys

PROGRAM = """
import gc
from parley.server.garbage import settle_garbage

class Ring:
    def __init__(self):
        self.itself = self
        alive.append(1)

    def __del__(self):
        alive.pop()

alive = []
usual = gc.get_threshold()
Ring()
settle_garbage()
old = gc.get_freeze_count()
first = len(alive)
Ring()
gc.collect()
print(old > 1_000, first, len(alive), gc.get_threshold()[1] < usual[1], gc.isenabled())
"""


def test_what_a_server_started_with_is_left_out_of_later_passes_and_new_cycles_are_not() -> None:
    # In a process of its own: it is for good.
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["True", "0", "0", "True", "True"]
