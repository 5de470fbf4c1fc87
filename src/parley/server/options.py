"""What the rooms are told of the settings, each in its own words."""

from collections.abc import Callable, Sequence
from pathlib import Path

from parley.access.browser_token import BrowserTokens
from parley.access.gate import Gate
from parley.aws.failure import AwsError
from parley.core.admission import AdmissionLimits
from parley.core.limits import AtBound, SessionLimits
from parley.ingress.attachment import SessionHost
from parley.ingress.connect_gate import ConnectGate, GateLimits
from parley.ingress.door import DoorLimits
from parley.ingress.http import http_application
from parley.ingress.origins import Origins
from parley.ingress.port import Port, PortLimits
from parley.ingress.upgrades import Upgrades
from parley.ingress.websocket import SocketLimits
from parley.server.probing import probe_options
from parley.server.settings.document import Settings
from parley.server.start import StartError
from parley.server.tls_endpoints import listener_tls, upstream_tls
from parley.upstream.container.container import ContainerOptions
from parley.upstream.container.socket import SocketOptions
from parley.upstream.pool.maker import PoolOptions, vllm_pool
from parley.upstream.pool.member import MemberSpec
from parley.upstream.pool.pool import UpstreamPool
from parley.web.pages import page_routes


def read_key(path: str, setting: str) -> str | None:
    """The key in the file that a setting names; None where it names none.

    Raises:
        StartError: the file can't be read.
    """
    if not path:
        return None
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StartError(f"key-unreadable: {setting} can't be read: {reason}.") from None


def pool_options(settings: Settings, *, api_key: str | None, model: str, streams_max: int = 0) -> PoolOptions:
    """How model servers are reached that take this key and serve this model; `streams_max` is the budget of each that
    has none of its own."""
    upstream = settings.upstream
    return PoolOptions(
        api_key=api_key,
        model=model,
        tls=upstream_tls(upstream),
        connect_timeout_s=upstream.connect_timeout_s,
        ping_interval_s=settings.server.ping_interval_s,
        ping_timeout_s=settings.server.ping_timeout_s,
        probe_interval_s=upstream.probe_interval_s,
        probe_timeout_s=upstream.probe_timeout_s,
        allows_old_versions=upstream.allow_old_versions,
        streams_max=streams_max,
        spare_streams=upstream.spare_streams,
        lag_budget_s=upstream.lag_budget_s,
        drain_timeout_s=upstream.drain_timeout_s,
        retry_after_s=settings.server.retry_after_s,
        probe=probe_options(settings),
    )


def make_pool(
    specs: Sequence[MemberSpec], options: PoolOptions, on_change: Callable[[], None] | None = None
) -> UpstreamPool:
    """Model servers as one upstream.

    Raises:
        StartError: one of them is SageMaker's, and AWS's SDK is not installed.
    """
    try:
        return vllm_pool(specs, options, on_change)
    except AwsError as error:
        raise StartError(f"{error.code}: {error.message}") from None


def container_options(settings: Settings) -> ContainerOptions:
    """How containers are reached. How long they may take to accept and to be silent is SageMaker's rule."""
    upstream = settings.upstream
    return ContainerOptions(
        handshake_timeout_s=upstream.connect_timeout_s,
        probe_interval_s=upstream.probe_interval_s,
        probe_timeout_s=upstream.probe_timeout_s,
        tls=upstream_tls(upstream),
        socket=SocketOptions(frame_max_bytes=settings.server.message_max_bytes),
    )


def session_limits(settings: Settings) -> SessionLimits:
    """What bounds a session."""
    session = settings.session
    return SessionLimits(
        pace_window_s=session.pace_window_s,
        held_audio_max_s=session.held_audio_max_s,
        held_turns_max=session.held_turns_max,
        resume_window_s=session.resume_window_s,
        ledger_max_bytes=session.ledger_max_bytes,
        journal_max_s=session.journal_max_s,
        turn_text_max_bytes=session.turn_text_max_bytes,
        recovery_timeout_s=session.recovery_timeout_s,
        rotate_after_s=session.rotate_after_s,
        rotate_force_s=session.rotate_force_s,
        output_max_bytes=session.output_max_bytes,
        client_errors_max=settings.server.client_errors_max,
        forward_empty_deltas=session.forward_empty_deltas,
        # The opener has its own timeout and says more; this one is for an opener that hangs.
        connect_timeout_s=settings.upstream.connect_timeout_s + 1.0,
        first_delta_timeout_s=session.first_delta_timeout_s,
        stall_timeout_s=session.stall_timeout_s,
        flush_timeout_s=session.flush_timeout_s,
        input_policy=AtBound(session.input_policy),
        output_policy=AtBound(session.output_policy),
        output_max_s=session.output_max_s,
        idle_release_s=session.idle_release_s,
        preroll_s=session.preroll_s,
        input_idle_timeout_s=session.input_idle_timeout_s,
        speech_idle_timeout_s=session.speech_idle_timeout_s,
        duration_max_s=session.duration_max_s,
        lag_notice_s=session.lag_notice_s,
        lag_max_s=session.lag_max_s,
        expiry_notice_s=session.expiry_notice_s,
    )


def admission_limits(settings: Settings) -> AdmissionLimits:
    """What bounds admission."""
    admission = settings.admission
    return AdmissionLimits(
        sessions_max=settings.server.max_sessions,
        model_sessions_max=admission.model_max_sessions,
        queue_max=admission.queue_max,
        queue_timeout_s=admission.queue_timeout_s,
        opening_max=admission.opening_max,
        retry_after_s=settings.server.retry_after_s,
    )


def gate_limits(settings: Settings) -> GateLimits:
    """What bounds connects."""
    admission = settings.admission
    return GateLimits(
        connects_per_s=admission.connects_per_s,
        burst=admission.connects_burst,
        waiting_max=admission.connects_waiting_max,
        wait_max_s=admission.queue_timeout_s,
    )


def make_gate(settings: Settings, clock: Callable[[], float]) -> ConnectGate:
    """The limit of connects, for all ports of the node together."""
    return ConnectGate(gate_limits(settings), clock)


def make_port(
    settings: Settings,
    host: SessionHost,
    access: Gate,
    gate: ConnectGate,
    browser_tokens: BrowserTokens | None = None,
) -> Port:
    """The port of WebSockets and plain HTTP.

    Raises:
        StartError: its certificate can't be used.
    """
    server = settings.server
    socket_limits = SocketLimits(
        message_max_bytes=server.message_max_bytes,
        write_buffer_max_bytes=server.write_buffer_max_bytes,
        waiting_max=server.waiting_max,
        waiting_timeout_s=server.waiting_timeout_s,
    )
    port_limits = PortLimits(
        # The time for TLS's handshake comes before that for the head.
        DoorLimits(head_timeout_s=server.head_timeout_s, tls_handshake_timeout_s=server.head_timeout_s),
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
    )
    origins = Origins(server.allowed_origins, trusts_names=not access.is_open)
    http = http_application(
        host,
        access,
        body_max_bytes=server.body_max_bytes,
        origins=origins,
        browser_tokens=browser_tokens,
        routes=page_routes("captions", "/") if settings.web.enabled else (),
    )
    tls = listener_tls(settings, "server")
    return Port(Upgrades(host, socket_limits, access, origins), http, port_limits, socket_limits, gate, tls)
