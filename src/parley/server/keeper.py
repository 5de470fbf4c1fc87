"""What is kept of this node's sessions: who has it written, and when it goes.

```
runner ─► Recorder ─► SessionRecord ─► Archive: threads, folder
             └ Keeper: terms by tenant, room in the queue, expiry
```
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass

from parley.access.audit import Audit
from parley.access.caller import Caller
from parley.core.errors import ParleyError
from parley.core.retention import Retention, RetentionTerms
from parley.server.recorder import Recorder
from parley.store.retention.archive import Archive
from parley.store.retention.frames import Header
from parley.store.retention.session_record import SessionRecord

_log = logging.getLogger("parley.retention")

_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepingLimits:
    """How long transcripts are kept (0: until they are purged) and records with audio, how much of one session, and how
    much may wait to be written on the node."""

    transcript_ttl_s: float = 86_400.0
    audio_ttl_s: float = 3_600.0
    session_max_bytes: int = 268_435_456
    queue_max_bytes: int = 67_108_864


class Keeper:
    """Has sessions kept, each as its tenant's terms and its own choice say; `terms` are those of tenants by name. What
    goes wrong is in the log and in the audit log."""

    def __init__(
        self,
        archive: Archive,
        terms: Mapping[str, RetentionTerms],
        audit: Audit,
        limits: KeepingLimits | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._terms = terms
        self._audit = audit
        self._limits = limits or KeepingLimits()
        self._clock = clock
        self._recorders: dict[str, Recorder] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._queued_bytes = 0
        self._is_failing = False

    @property
    def archive(self) -> Archive:
        """Where it is."""
        return self._archive

    def terms(self, caller: Caller) -> RetentionTerms:
        """What may be kept of a caller's sessions."""
        return self._terms.get(caller.tenant) or RetentionTerms(is_offered=True)

    def recorder(self, session_id: str, owner: Caller, retention: Retention, heard: int) -> Recorder:
        """What keeps a session from here on; `heard` is how much audio it had before."""
        limits, keeps_audio = self._limits, retention is Retention.DEBUG_AUDIO
        now = self._clock()
        header = Header(
            session_id=session_id,
            part=0,
            retention=retention.value,
            tenant=owner.tenant_name,
            principal=owner.principal,
            began_s=int(now),
            expires_s=0.0,
        )
        record = SessionRecord(
            self._archive,
            header,
            ttl_s=limits.audio_ttl_s if keeps_audio else limits.transcript_ttl_s,
            bytes_max=limits.session_max_bytes,
            clock=self._clock,
        )
        recorder = self._recorders[session_id] = Recorder(
            session_id,
            owner,
            record,
            queue=self,
            audit=self._audit,
            heard=heard,
            discard=lambda: self._archive.purge(session_id),
            spawn=self._spawn,
            on_over=self._over,
        )
        return recorder

    def _over(self, recorder: Recorder) -> None:
        if self._recorders.get(recorder.session_id) is recorder:
            del self._recorders[recorder.session_id]

    async def purge(self, session_id: str) -> int:
        """Shred all that is kept of a session, and keep nothing more of it; how many records that were.

        Raises:
            ParleyError: retention-unavailable.
        """
        recorder = self._recorders.get(session_id)
        if recorder is not None:
            await recorder.stop()
        return await self._archive.purge(session_id)

    # ---- what waits

    def reserve(self, size: int) -> bool:
        """See `Queue.reserve`."""
        if self._queued_bytes + size > self._limits.queue_max_bytes:
            return False
        self._queued_bytes += size
        return True

    def release(self, size: int) -> None:
        """See `Queue.release`."""
        self._queued_bytes -= size

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- time

    async def run(self) -> None:
        """Shred what is past its time, again and again, until cancelled."""
        await self._archive.run(self._swept)

    def _swept(self, records: int, error: ParleyError | None) -> None:
        if records:
            _log.info("%d records were past their time and are shredded", records)
            self._audit.record("expire", facts={"records": records})
        if error is not None and not self._is_failing:
            _log.error("what is past its time can't be shredded: %s", error)
            self._audit.record("expire", outcome=error.code)
        self._is_failing = error is not None

    async def close(self) -> None:
        """Write what waits, if the disk lets it; the sessions have ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT_S)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._archive.close()
