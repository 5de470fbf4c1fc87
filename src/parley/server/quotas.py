"""What each tenant may have in a time, and who has used it up."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from parley.access.quota import AudioQuota, ConnectQuota, day_ends_in_s
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.survey import Survey
from parley.server.settings.tenant import TenantSettings

_log = logging.getLogger("parley.server")

_LOOK_INTERVAL_S = 1.0
_MINUTE_S = 60.0


class MeteredSession(Protocol):
    """A session, as far as its audio is counted."""

    def survey(self) -> Survey:
        """How it stands."""

    def receive(self, event: ev.Event) -> None:
        """See `SessionRunner.receive`."""


class Quotas:
    """The quotas of this node's tenants. `clock` never goes back, `unix_time` is what days are of; both in seconds.

    Sessions are looked at once a second: of what a tenant may send, each of its sessions may send a second more.
    """

    def __init__(
        self,
        tenants: Iterable[TenantSettings],
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        entries = tuple(tenants)
        self._connects_max = {one.name: one.connects_per_minute for one in entries if one.connects_per_minute}
        self._audio_max_s = {
            one.name: one.audio_minutes_per_day * _MINUTE_S for one in entries if one.audio_minutes_per_day
        }
        self._clock = clock
        self._unix_time = unix_time
        self._connects = ConnectQuota()
        self._audio = AudioQuota()
        self._counted_s: dict[MeteredSession, float] = {}

    def check(self, tenant: str) -> None:
        """Whether a tenant has audio left for a session.

        Raises:
            ParleyError: quota-exceeded.
        """
        bound_s = self._audio_max_s.get(tenant)
        if bound_s is not None and self._audio.used_s(tenant, self._unix_time()) >= bound_s:
            raise self._exceeded(bound_s)

    def connect(self, tenant: str) -> None:
        """A session of a tenant begins or is resumed.

        Raises:
            ParleyError: quota-exceeded.
        """
        per_minute = self._connects_max.get(tenant)
        if per_minute is None:
            return
        wait_s = self._connects.take(tenant, per_minute, self._clock())
        if wait_s:
            raise ParleyError("quota-exceeded", f"It is {per_minute} connections in a minute.", retry_after_s=wait_s)

    def count(self, sessions: Mapping[MeteredSession, str]) -> None:
        """Count what these sessions, each with its tenant, have sent since the last time, and end those of tenants that
        have used up their day."""
        if not self._audio_max_s:
            return
        counted: dict[MeteredSession, float] = {}
        over: set[str] = set()
        now_s = self._unix_time()
        for session, tenant in sessions.items():
            bound_s = self._audio_max_s.get(tenant)
            if bound_s is None:
                continue
            counted[session] = received_s = session.survey().received_s
            used_s = self._audio.use(tenant, received_s - self._counted_s.get(session, 0.0), now_s)
            if used_s >= bound_s:
                over.add(tenant)
        self._counted_s = counted
        for session in counted:
            tenant = sessions[session]
            if tenant in over:
                error = self._exceeded(self._audio_max_s[tenant])
                session.receive(ev.EndAsked(error.code, error.retry_after_s))
        for tenant in over:
            _log.warning("tenant %s has used up its audio of the day: its sessions end", tenant)

    async def run(self, sessions: Callable[[], Mapping[MeteredSession, str]]) -> None:
        """Count once a second until cancelled."""
        if not self._audio_max_s:
            return
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            self.count(sessions())

    def _exceeded(self, bound_s: float) -> ParleyError:
        return ParleyError(
            "quota-exceeded",
            f"It is {bound_s / _MINUTE_S:g} minutes of audio in a day.",
            retry_after_s=day_ends_in_s(self._unix_time()),
        )
