"""Looks for faults at random: `python -m tests.fuzz --minutes 10`. A finding ends it with what reproduces it.

```
codec        the event stream: whole == byte by byte == in pieces; botocore takes what is taken
signatures   requests and signed streams: nothing is taken that was not signed so
http2        a connection: whole == byte by byte == in pieces
```
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from random import Random, randrange

from tests.fuzz import codec, http2, signatures

TARGETS: Mapping[str, Callable[[Random], None]] = {
    "codec": codec.run,
    "signatures": signatures.run,
    "http2": http2.run,
}


def fuzz(targets: Mapping[str, Callable[[Random], None]], seed: int, is_over: Callable[[int], bool]) -> str | None:
    """Rounds of all targets in turn, each with a seed of its own, until it is over; the first finding, if any."""
    rounds = 0
    while not is_over(rounds):
        for name, run in targets.items():
            try:
                run(Random(seed + rounds))
            except Exception:
                again = f"python -m tests.fuzz --target {name} --seed {seed + rounds} --rounds 1"
                return f"{traceback.format_exc()}\nagain: {again}"
        rounds += 1
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--rounds", type=int, help="how many rounds instead")
    parser.add_argument("--target", choices=TARGETS, help="one of them (default: all in turn)")
    parser.add_argument("--seed", type=int, help="of the first round (default: random)")
    options = parser.parse_args()
    seed: int = randrange(2**48) if options.seed is None else options.seed
    targets = {options.target: TARGETS[options.target]} if options.target else TARGETS
    deadline_s = time.monotonic() + 60 * options.minutes
    rounds_max: int | None = options.rounds
    done = 0

    def is_over(rounds: int) -> bool:
        nonlocal done
        done = rounds
        return rounds >= rounds_max if rounds_max else time.monotonic() >= deadline_s

    finding = fuzz(targets, seed, is_over)
    print(f"{done} rounds of {', '.join(targets)} from seed {seed}" + ("" if finding else ": nothing found"))
    if finding:
        print(finding, file=sys.stderr)
    return 1 if finding else 0


if __name__ == "__main__":
    sys.exit(main())
