"""What is kept of one session, as its core says: turns, all audio, or nothing."""

import logging
from collections.abc import Callable

from parley.core import effects as ef
from parley.core.content import Audio
from parley.core.retention import Retention
from parley.server.recording import Record, Recording

_log = logging.getLogger("parley.session")


class Keeping:
    """The recording of a session, if there is one. `record` makes it, where anything can be kept.

    `hear` takes all audio with where it ends on the cursor, while that is kept: the common path looks at this alone.
    `retention` is what the client is told, empty for nothing.
    """

    __slots__ = ("_record", "_recorder", "_session_id", "hear", "retention")

    def __init__(self, session_id: str, record: Record | None) -> None:
        self._session_id = session_id
        self._record = record
        self._recorder: Recording | None = None
        self.hear: Callable[[Audio, int], None] | None = None
        self.retention = ""

    def retain(self, effect: ef.Retain, cursor: int) -> None:
        """From here on this is kept."""
        recorder, self._recorder, self.hear = self._recorder, None, None
        self.retention = ""
        if effect.retention is Retention.NONE:
            if recorder is not None:
                recorder.discard()
        elif self._record is None:
            _log.warning("session %s is not kept any further: there is no folder for it here", self._session_id)
        else:
            recorder = self._recorder = self._record(effect.retention, cursor)
            self.retention = effect.retention.value
            if effect.retention is Retention.DEBUG_AUDIO:
                self.hear = recorder.hear

    def keep(self, effect: ef.KeepTurn) -> None:
        """Keep a turn's final text."""
        if self._recorder is not None:
            self._recorder.keep(effect)

    def finish(self, outcome: str) -> None:
        """The session has ended, in this way."""
        recorder, self._recorder, self.hear = self._recorder, None, None
        if recorder is not None:
            recorder.finish(outcome)
