"""What a node asks at its WebSocket port when all its endpoints are served elsewhere."""

from collections.abc import Callable

from parley.access.caller import NOBODY, Caller
from parley.core.errors import ParleyError
from parley.ingress.attachment import Attachment, OnFetched, Provenance, SessionName
from parley.server.client_port import ClientPort
from parley.server.host import Host
from parley.server.live_sessions import LiveSessions


class NoSessions:
    """A `SessionHost` that begins none: no model server is named for the node's own, and no endpoint is of kind parley.

    It is ready, for whoever asks `/ping`, when any of the endpoints is. A session that one of them began may come back
    over a WebSocket as over HTTP/2.
    """

    models: tuple[str, ...] = ()

    def __init__(self, host: Host, live: LiveSessions, is_ready: Callable[[], bool]) -> None:
        self._host = host
        self._live = live
        self._is_ready = is_ready

    @property
    def resume_window_s(self) -> float:
        """See `SessionHost.resume_window_s`."""
        return self._host.resume_window_s

    def check(self, caller: Caller | None = None, endpoint: str = "") -> None:
        """See `SessionHost.check`."""
        self._live.check()
        if not self._is_ready():
            raise ParleyError("upstream-unavailable", retry_after_s=self._live.retry_after_s)

    def check_ready(self) -> None:
        """See `SessionHost.check_ready`."""
        self._live.check_ready()
        self.check()

    def next_arrival(self) -> int:
        """See `SessionHost.next_arrival`."""
        return self._host.next_arrival()

    def new_name(self) -> SessionName:
        """See `SessionHost.new_name`."""
        return self._host.new_name()

    def open(
        self,
        attachment: Attachment,
        *,
        caller: Caller = NOBODY,
        endpoint: str = "",
        name: SessionName | None = None,
        arrival: int = 1,
        forward_empty_deltas: bool | None = None,
        provenance: Provenance | None = None,
    ) -> ClientPort:
        """Refuse: there is no model server for it."""
        raise ParleyError("upstream-unavailable", "This node has no model server of its own; its endpoints do.")

    def resume(
        self, attachment: Attachment, token: str, seq: int, caller: Caller, *, arrival: int | None = None
    ) -> ClientPort:
        """See `SessionHost.resume`."""
        return self._host.resume(attachment, token, seq, caller, arrival=arrival)

    def fetch(self, token: str, caller: Caller, on_done: OnFetched) -> bool:
        """See `SessionHost.fetch`."""
        return self._host.fetch(token, caller, on_done)
