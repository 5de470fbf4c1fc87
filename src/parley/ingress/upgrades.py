"""WebSocket upgrade requests: which route, whose they are, and whether a session may begin."""

import asyncio
import binascii
import contextlib
import logging
from collections.abc import Mapping

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from parley.access.browser_token import carries_token, offered_subprotocols
from parley.access.caller import NOBODY
from parley.access.gate import Gate
from parley.access.identity import CertificateNames, RequestHead
from parley.core.errors import ParleyError
from parley.ingress.attachment import SessionHost
from parley.ingress.first_event import Narrow, Proof
from parley.ingress.origins import Origins
from parley.ingress.provenance import provenance_of
from parley.ingress.refusal import error_body, error_headers
from parley.ingress.request_heads import of_upgrade
from parley.ingress.threshold import Arrival, flag
from parley.ingress.websocket import OpenConnections, SocketLimits, WebSocketConnection
from parley.wire.dialect import VllmDialect

_log = logging.getLogger("parley.ingress")

REALTIME_PATH = "/v1/realtime"
SAGEMAKER_PATH = "/invocations-bidirectional-stream"
PATHS = (REALTIME_PATH, SAGEMAKER_PATH)
"""All that a WebSocket is served at."""
_KEY_BYTES = 16
_SUBPROTOCOLS = ("realtime", "parley")
"""Those that are agreed on, where another one carries a token: a browser wants one of what it offered."""


class Upgrades:
    """Answers WebSocket upgrade requests: which route, and whether a session may begin."""

    def __init__(self, host: SessionHost, limits: SocketLimits, gate: Gate, origins: Origins | None = None) -> None:
        self._host = host
        self._gate = gate
        self._origins = origins or Origins()
        self._limits = limits
        self._open = OpenConnections(limits)

    async def close(self) -> None:
        """Wait until the connections, whose sessions have ended, are closed by their peers; cut those that are not.
        Those that never had a session are told first."""
        self._open.waiting.refuse_all(ParleyError("shutting-down"))
        self._open.unproven.refuse_all(ParleyError("shutting-down"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_timeout_s):
                await self._open.empty.wait()
        for connection in self._open.all():
            connection.cut()
        # One turn of the loop, in which the transports report that they are gone.
        await asyncio.sleep(0)

    def __call__(
        self,
        request: WSUpgradeRequest,
        certificate: CertificateNames | None = None,
        narrow: Narrow | None = None,
    ) -> WSListener | WSUpgradeResponseWithListener:
        """The connection's listener, or an HTTP error that says why there is none. `certificate` is the client's;
        `narrow` is before a connection whose first event is to say who it is, unless its head does."""
        came_at = asyncio.get_running_loop().time()
        path, _, query = request.path.decode("latin-1").partition("?")
        try:
            if path not in PATHS:
                raise ParleyError("not-found", f"WebSockets are served at {REALTIME_PATH} and {SAGEMAKER_PATH}.")
            _check_handshake(request.headers)
            head = of_upgrade(request, certificate)
            self._origins.check(head)
            comes_back = bool(flag(query, "resume") and self._host.resume_window_s)
            proof, caller = None, NOBODY
            if narrow is not None and not self._gate.is_told(head):
                self._open.unproven.check()
                proof = Proof(self._gate, head)
            else:
                if narrow is not None:
                    narrow.widen()
                caller = self._gate.identify(head).caller
                if comes_back:
                    self._open.waiting.check()
                else:
                    self._host.check(caller)
        except ParleyError as error:
            _log.info("refused a session: %s", error.code)
            return _refusal(error)
        except Exception as error:
            # picows would answer with the exception's text, which may hold anything.
            _log.exception("an upgrade failed: %s", type(error).__name__)
            return _refusal(ParleyError("internal-error"))
        now = asyncio.get_running_loop().time()
        arrival = Arrival(
            caller=caller,
            provenance=provenance_of(head, caller, connected_at=came_at, now=now),
            takes_binary=path == SAGEMAKER_PATH,
            forward_empty_deltas=flag(query, "empty_deltas"),
            comes_back=comes_back,
        )
        connection = WebSocketConnection(self._host, VllmDialect(), self._limits, arrival, self._open, proof, narrow)
        return _answered(connection, head)


def _check_handshake(headers: Mapping[str, str]) -> None:
    """What RFC 6455 section 4.2.1 asks of an upgrade; picows would refuse it as well, in its own words."""
    if headers.get("Connection", "").lower() != "upgrade":
        raise ParleyError("bad-request", "The Connection header does not say `Upgrade`.")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise ParleyError("bad-request", "Sec-WebSocket-Version is to be 13.")
    try:
        is_key = len(binascii.a2b_base64(headers.get("Sec-WebSocket-Key", ""), strict_mode=True)) == _KEY_BYTES
    except ValueError:
        is_key = False
    if not is_key:
        raise ParleyError("bad-request", f"Sec-WebSocket-Key is to be base64 of {_KEY_BYTES} bytes.")


def _answered(connection: WSListener, head: RequestHead) -> WSListener | WSUpgradeResponseWithListener:
    """The listener, with the subprotocol that is agreed on, if there is one."""
    offered = offered_subprotocols(head)
    agreed = next((name for name in offered if name in _SUBPROTOCOLS), "")
    if not agreed or not any(map(carries_token, offered)):
        return connection
    response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": agreed})
    return WSUpgradeResponseWithListener(response, connection)


def _refusal(error: ParleyError) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(error.spec.http_status, error_body(error), error_headers(error))
    return WSUpgradeResponseWithListener(response, None)
