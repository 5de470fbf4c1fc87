"""Members that come and go: a source is asked again and again which model servers there are, and the pool is told.

```
source ──look──► the servers that there are ──difference──► pool: remove, change, add
   ├ fails: the last answer holds, and the log says why, once
   └ has none all at once: believed at the third look
```
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Protocol

_log = logging.getLogger("parley.upstream")

MEMBERS_MAX = 256
"""Servers of one source that are taken; more are named in the log and left alone."""

_LOOKS_UNTIL_EMPTY = 3
"""Looks in a row that find none, before none is what there is."""


class DiscoveryError(Exception):
    """A source can't say which servers there are; the message says why and what to do, for the log."""


class Source[S](Protocol):
    """Says which servers there are. `place` is its name for the log."""

    @property
    def place(self) -> str:
        """Where it looks."""

    async def look(self) -> Sequence[S]:
        """The servers that there are now; takes a bounded time.

        Raises:
            DiscoveryError: it can't be told.
        """

    async def close(self) -> None:
        """Give up what is still under way."""


class Members[S](Protocol):
    """The pool, as a discovery needs to know it."""

    def add(self, spec: S) -> bool:
        """There is a server more. False where it is not taken: there are too many, or it is there from elsewhere."""

    def remove(self, spec: S) -> object:
        """A server is gone: it gets no new legs, and those on it move."""

    def change(self, spec: S) -> object:
        """A server that is known already, by what identifies it, has other properties."""


class Discovery[S]:
    """Asks one source at an interval, and tells the pool what has changed. It touches no server that it did not add.

    `key_of` gives what identifies a server; the rest of its spec may change.
    """

    def __init__(
        self,
        source: Source[S],
        members: Members[S],
        *,
        key_of: Callable[[S], Hashable],
        interval_s: float,
        members_max: int = MEMBERS_MAX,
    ) -> None:
        self._source = source
        self._members = members
        self._key_of = key_of
        self._interval_s = interval_s
        self._members_max = members_max
        self._known: dict[Hashable, S] = {}
        self._looks_empty = 0
        self._trouble = ""
        self._left_out = 0
        self._not_taken = 0

    @property
    def known(self) -> tuple[S, ...]:
        """The servers that it has added."""
        return tuple(self._known.values())

    async def run(self) -> None:
        """Look until cancelled. The servers stay in the pool."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._interval_s)
        finally:
            await self._source.close()

    async def look(self) -> None:
        """Look once."""
        try:
            found = await self._source.look()
        except DiscoveryError as error:
            self._report(str(error))
            return
        self._report("")
        self._take(found)

    def _take(self, found: Sequence[S]) -> None:
        self._looks_empty = 0 if found else self._looks_empty + 1
        if self._known and 0 < self._looks_empty < _LOOKS_UNTIL_EMPTY:
            if self._looks_empty == 1:
                _log.warning("no model server is found any more, in %s: the last ones are kept", self._source.place)
            return
        there = self._bounded(found)
        for key in [key for key in self._known if key not in there]:
            self._members.remove(self._known.pop(key))
        not_taken = 0
        for key, spec in there.items():
            if key not in self._known:
                if not self._members.add(spec):
                    not_taken += 1
                    continue
            elif spec != self._known[key]:
                self._members.change(spec)
            self._known[key] = spec
        self._report_not_taken(not_taken)

    def _bounded(self, found: Iterable[S]) -> Mapping[Hashable, S]:
        """By what identifies them, each once, those that are known before new ones; no more than may be."""
        all_there: dict[Hashable, S] = {}
        for spec in found:
            all_there.setdefault(self._key_of(spec), spec)
        left_out = max(0, len(all_there) - self._members_max)
        if left_out != self._left_out:
            self._left_out = left_out
            if left_out:
                place, most = self._source.place, self._members_max
                _log.warning("model servers are left out, in %s: %d, since at most %d are taken", place, left_out, most)
        if not left_out:
            return all_there
        kept = sorted(all_there, key=lambda key: key not in self._known)[: self._members_max]
        return {key: all_there[key] for key in kept}

    def _report_not_taken(self, count: int) -> None:
        if count == self._not_taken:
            return
        self._not_taken = count
        if count:
            place = self._source.place
            _log.warning("%d model servers of %s are left alone: they are members already, or too many", count, place)

    def _report(self, trouble: str) -> None:
        """Tell the log of a trouble once, and of its end."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            _log.warning("model servers can't be looked up in %s: %s", self._source.place, trouble)
        else:
            _log.info("model servers are looked up again in %s", self._source.place)
