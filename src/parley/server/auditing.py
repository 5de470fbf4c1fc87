"""The audit log of a node: written by a thread of its own, in the order in which things were done.

```
record ─► queue ─► thread: entries that have gathered ─► one write, one fsync
```
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from parley.access.audit import Fact
from parley.access.audit_file import AuditFile, AuditFileError
from parley.access.caller import NOBODY, Caller
from parley.core.errors import ParleyError
from parley.server.settings.trust import AuditSettings
from parley.server.start import StartError

_log = logging.getLogger("parley.audit")

_WAITING_MAX = 16_384
"""Entries, of some 300 bytes each, that may wait for the disk."""
_BATCH_MAX = 512
_RETRY_INTERVAL_S = 1.0
_CLOSE_TIMEOUT_S = 2.0
_KEY_MIN_BYTES = 16
_TEXT_MAX_CHARS = 256
_FACTS_MAX = 16


class AuditLog:
    """An `Audit` in a file. `refuses` says that no session may begin while it can't be written.

    What can't be written waits, and is tried again each second; what then finds no room is counted, and the count is
    the first thing that is written when it can be.
    """

    def __init__(
        self,
        file: AuditFile,
        *,
        refuses: bool = True,
        clock: Callable[[], float] = time.time,
        waiting_max: int = _WAITING_MAX,
    ) -> None:
        self._file = file
        self._refuses = refuses
        self._clock = clock
        self._entries: queue.Queue[Mapping[str, object] | None] = queue.Queue(waiting_max)
        self._is_failing = False
        self._is_closing = threading.Event()
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._thread.start()
        torn = {"torn_bytes": file.torn_bytes} if file.torn_bytes else None
        self.record("audit-opened", facts=torn)

    def check(self) -> None:
        """See `Audit.check`."""
        if self._refuses and (self._is_failing or self._entries.full()):
            raise ParleyError("audit-unavailable", retry_after_s=_RETRY_INTERVAL_S)

    def record(
        self,
        action: str,
        caller: Caller = NOBODY,
        *,
        session_id: str = "",
        tenant: str = "",
        outcome: str = "ok",
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        """See `Audit.record`."""
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry: dict[str, object] = {
            "time": at,
            "action": action,
            "actor": caller.name[:_TEXT_MAX_CHARS],
            "principal": caller.principal,
            "method": caller.method,
            "tenant": tenant[:_TEXT_MAX_CHARS],
            "session": session_id[:_TEXT_MAX_CHARS],
            "outcome": outcome,
        }
        if facts:
            entry["facts"] = {name: _bounded(fact) for name, fact in list(facts.items())[:_FACTS_MAX]}
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, for two seconds at the most, and let go of the file."""
        self.record("audit-closed")
        self._is_closing.set()
        with contextlib.suppress(queue.Full):
            # While it is full, the thread is at it: on its way out it waits for nothing.
            self._entries.put(None, timeout=_CLOSE_TIMEOUT_S)
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            _log.error("the audit log could not be written to its end: %d entries are lost", self._entries.qsize())

    def _work(self) -> None:
        is_last = False
        try:
            while not is_last:
                batch, is_last = self._gathered()
                self._append(batch)
        finally:
            self._file.close()
        _log.info("the audit log ends with line %d: %s", self._file.end.seq, self._file.end.hash)

    def _gathered(self) -> tuple[list[Mapping[str, object]], bool]:
        """What waits, at least one; and whether nothing follows."""
        batch: list[Mapping[str, object]] = []
        entry = self._entries.get()
        while entry is not None:
            batch.append(entry)
            if len(batch) >= _BATCH_MAX:
                return batch, False
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _append(self, batch: list[Mapping[str, object]]) -> None:
        while batch:
            lost = self._lost
            entries = [{"time": batch[0]["time"], "action": "audit-lost", "facts": {"entries": lost}}] if lost else []
            try:
                self._file.append([*entries, *batch])
            except OSError as error:
                if not self._is_failing:
                    _log.error("the audit log can't be written: %s", error)
                self._is_failing = True
                if self._is_closing.wait(_RETRY_INTERVAL_S):
                    return
                continue
            self._lost -= lost
            if self._is_failing:
                _log.warning("the audit log is written again")
                self._is_failing = False
            return


def _bounded(fact: Fact) -> Fact:
    return fact[:_TEXT_MAX_CHARS] if isinstance(fact, str) else fact


def audit_key(path: str) -> bytes:
    """The key in a file; empty without a path.

    Raises:
        StartError: it can't be read or is too short to be one.
    """
    if not path:
        return b""
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise StartError(f"key-unreadable: The file in audit.key_file can't be read: {error.strerror}.") from None
    if len(key) < _KEY_MIN_BYTES:
        raise StartError(
            f"key-unusable: The file in audit.key_file has to hold {_KEY_MIN_BYTES} bytes or more; `openssl rand -hex "
            "32` makes one."
        )
    return key


def open_audit(settings: AuditSettings) -> AuditLog | None:
    """The log that the settings name, if any.

    Raises:
        StartError: it, or its key, can't be used.
    """
    if not settings.file:
        return None
    try:
        file = AuditFile(settings.file, key=audit_key(settings.key_file), max_bytes=settings.file_max_bytes)
    except AuditFileError as error:
        raise StartError(f"audit-unusable: The file in audit.file can't be used. {error}") from None
    return AuditLog(file, refuses=settings.on_failure == "refuse")
