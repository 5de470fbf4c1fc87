"""Keeps what is said in one session: takes it on the live path, without ever waiting, and has it written beside it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Protocol

from parley.access.audit import Audit
from parley.access.caller import Caller
from parley.core.content import Audio
from parley.core.effects import KeepTurn
from parley.core.errors import ParleyError
from parley.store.retention.entry import CONTINUED, Entry, KeptAudio, KeptTurn
from parley.store.retention.session_record import SessionRecord
from parley.wire.vllm import pcm_of

_log = logging.getLogger("parley.retention")

_PIECE_BYTES = 65_536
"""Audio that is written as one: two seconds of it, which is what a crash may cost."""
_TURN_BYTES = 256
"""What a turn takes in the queue beside its text."""


class Queue(Protocol):
    """What waits to be written on the whole node."""

    def reserve(self, size: int) -> bool:
        """Take room for so many bytes; False when there is none."""

    def release(self, size: int) -> None:
        """Give it back."""


class Recorder:
    """Writes one session's record. No method waits or raises: what can't be written any more is not, which the log and
    the audit log say, and the session goes on.

    `heard` is the position up to which audio is not its to keep. `discard` shreds all that is kept of the session,
    `spawn` runs its work beside the session, and `on_over` is called when there is nothing left to write.
    """

    def __init__(
        self,
        session_id: str,
        owner: Caller,
        record: SessionRecord,
        *,
        queue: Queue,
        audit: Audit,
        heard: int,
        discard: Callable[[], Coroutine[object, object, int]],
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        on_over: Callable[["Recorder"], None],
    ) -> None:
        self.session_id = session_id
        self._owner = owner
        self._record = record
        self._queue = queue
        self._audit = audit
        self._heard = heard
        self._discard = discard
        self._spawn = spawn
        self._on_over = on_over
        self._pieces: list[bytes] = []
        self._piece_bytes = 0
        self._waiting: list[tuple[Entry, int]] = []
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self._is_discarded = False
        self._reason = ""

    # ---- on the live path

    def hear(self, audio: Audio, cursor: int) -> None:
        """Audio was received, and the session's cursor is behind it; where it is not, the audio was not taken."""
        if self._is_over or cursor <= self._heard:
            return
        self._heard = cursor
        pcm = pcm_of(audio)
        self._pieces.append(pcm)
        self._piece_bytes += len(pcm)
        if self._piece_bytes >= _PIECE_BYTES:
            self._put_audio()

    def keep(self, turn: KeepTurn) -> None:
        """A turn has its final text."""
        if not self._is_over:
            self._put_audio()
            entry = KeptTurn(turn.item, turn.begin, turn.end, turn.text, turn.text_from)
            self._put(entry, len(turn.text.literal) + _TURN_BYTES)

    def finish(self, reason: str) -> None:
        """The session is over here, with this outcome."""
        if not self._is_over:
            self._put_audio()
        if not self._is_over:
            self._is_over = True
            # What follows is in another node's record.
            self._reason = CONTINUED if reason == "moved" else reason
            self._wake()

    def discard(self) -> None:
        """Nothing of the session is to be kept, not even what was."""
        self._let_go()
        self._is_discarded = True
        self._wake()

    # ---- beside it

    async def stop(self) -> None:
        """Keep nothing more; returns when nothing is written any more."""
        self._let_go()
        task = self._task
        if task is not None:
            await asyncio.wait({task})
        else:
            self._on_over(self)

    def _put_audio(self) -> None:
        if self._pieces:
            pcm = b"".join(self._pieces)
            self._pieces.clear()
            self._piece_bytes = 0
            self._put(KeptAudio(self._heard - len(pcm) // 2, pcm), len(pcm))

    def _put(self, entry: Entry, size: int) -> None:
        if self._record.is_cut_off:
            return
        if not self._queue.reserve(size):
            self._failed(ParleyError("retention-unavailable", "Too much waits to be written."))
            self._wake()
            return
        self._waiting.append((entry, size))
        self._wake()

    def _wake(self) -> None:
        if self._task is None:
            self._task = self._spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._write()
            if self._is_discarded:
                await self._shred()
            elif self._reason:
                await self._record.close(self._reason)
        except ParleyError as error:
            self._failed(error)
        except Exception as error:
            _log.error("session %s can't be kept: %s", self.session_id, type(error).__name__, exc_info=error)
            self._failed(ParleyError("internal-error"))
        finally:
            self._task = None
            if self._is_over:
                self._let_go()
                self._on_over(self)

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        was_cut_off = self._record.is_cut_off
        try:
            await self._record.write([entry for entry, _ in waiting])
        finally:
            self._queue.release(sum(size for _, size in waiting))
        if self._record.is_cut_off and not was_cut_off:
            _log.warning("session %s is not kept any further: it has as much as may be kept of one", self.session_id)

    async def _shred(self) -> None:
        records = await self._discard()
        if records:
            self._note("purge", "ok", records)

    def _failed(self, error: ParleyError) -> None:
        """What is kept stays as it is: without its end, which whoever reads it is told."""
        self._let_go()
        _log.warning("session %s is no longer kept: %s", self.session_id, error)
        self._note("retain", error.code)

    def _note(self, action: str, outcome: str, records: int | None = None) -> None:
        tenant, facts = self._owner.tenant_name, None if records is None else {"records": records}
        self._audit.record(action, self._owner, session_id=self.session_id, tenant=tenant, outcome=outcome, facts=facts)

    def _let_go(self) -> None:
        self._is_over = True
        self._pieces.clear()
        waiting, self._waiting = self._waiting, []
        self._queue.release(sum(size for _, size in waiting))
