"""What is wrong with settings although each value is of its type: values that don't go together, URLs, commands."""

import shlex
from collections.abc import Iterator

from parley.server.addresses import (
    LOCAL_HOSTS,
    is_loopback,
    model_server_problem,
    realtime_problem,
)
from parley.server.settings.document import LaunchSettings, SessionSettings, Settings, UpstreamSettings
from parley.server.settings.http2 import Http2Settings
from parley.server.settings.telemetry import telemetry_problems
from parley.server.settings.trust_problems import trust_problems

INITIAL_WINDOW_BYTES = 65_535
WINDOW_MAX_BYTES = 2**31 - 1
"""Of a connection and of a stream alike (RFC 9113 section 6.9)."""


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """The key to blame, and the message, for each."""
    yield from _of_upstream(settings.upstream, settings.launch)
    yield from _of_upstreams(settings)
    yield from _of_launch(settings.launch)
    yield from _of_session(settings.session)
    if settings.store.kind == "directory" and not settings.store.directory:
        yield "store.directory", "store.directory has to name a folder when store.kind is directory"
    yield from http2_problems(settings.http2)
    yield from trust_problems(settings)
    yield from telemetry_problems(settings.telemetry)


def _of_upstream(upstream: UpstreamSettings, launch: LaunchSettings) -> Iterator[tuple[str, str]]:
    if upstream.url and (message := model_server_problem(upstream.url)):
        yield "upstream.url", f"upstream.url {message}"
    urls = upstream.urls
    for number, url in enumerate(urls, 1):
        if message := model_server_problem(url):
            yield "upstream.urls", f"upstream.urls, entry {number}, {message}"
    if len(set(urls)) < len(urls):
        yield "upstream.urls", "upstream.urls must not name a server twice"
    if urls and upstream.url:
        yield "upstream.urls", "upstream.urls and upstream.url can't both be set; put all servers into upstream.urls"
    if urls and launch.command:
        yield (
            "upstream.urls",
            "upstream.urls can't be set with launch.command, whose server is then the only one; start all of them "
            "apart from Parley, or let it use the one alone",
        )
    yield from _of_discovery(upstream, launch)


def _of_upstreams(settings: Settings) -> Iterator[tuple[str, str]]:
    upstream, entries = settings.upstream, settings.upstreams
    for name, value in (("url", upstream.url), ("urls", upstream.urls)):
        if entries and value:
            yield (
                f"upstream.{name}",
                f"upstream.{name} can't be set beside [[upstreams]]; put all servers into [[upstreams]]",
            )
    if entries and settings.launch.command:
        yield (
            "launch.command",
            "launch.command can't be set beside [[upstreams]], for its server is then the only one; start all of them "
            "apart from Parley, or let it use the one alone",
        )
    budgets = [entry.max_sessions or upstream.max_sessions for entry in entries] or [upstream.max_sessions]
    least = min((budget for budget in budgets if budget), default=0)
    if least and upstream.spare_streams >= least:
        yield (
            "upstream.spare_streams",
            f"upstream.spare_streams must be less than the streams of each model server, {least}: new sessions would "
            "have none",
        )


def _of_discovery(upstream: UpstreamSettings, launch: LaunchSettings) -> Iterator[tuple[str, str]]:
    if upstream.discover_dns and (message := realtime_problem(upstream.discover_dns)):
        yield "upstream.discover_dns", f"upstream.discover_dns {message}"
    for key, value in (("discover_dns", upstream.discover_dns), ("discover_file", upstream.discover_file)):
        if value and launch.command:
            yield (
                f"upstream.{key}",
                f"upstream.{key} can't be set with launch.command, whose server is then the only one; start all of "
                "them apart from Parley, or let it use the one alone",
            )


def _of_launch(launch: LaunchSettings) -> Iterator[tuple[str, str]]:
    try:
        shlex.split(launch.command)
    except ValueError as error:
        yield "launch.command", f"launch.command can't be split into words: {error}"
    if launch.backoff_max_s < launch.backoff_initial_s:
        yield (
            "launch.backoff_max_s",
            f"launch.backoff_max_s must be at least launch.backoff_initial_s, {launch.backoff_initial_s:g}",
        )


def _of_session(session: SessionSettings) -> Iterator[tuple[str, str]]:
    if 0 < session.pace_window_s < 1:
        yield (
            "session.pace_window_s",
            "session.pace_window_s must be 0 or at least 1: a model says nothing before it has had 0.56 s",
        )
    if session.rotate_force_s < session.rotate_after_s:
        yield (
            "session.rotate_force_s",
            f"session.rotate_force_s must be at least session.rotate_after_s, {session.rotate_after_s:g}",
        )


def http2_problems(http2: Http2Settings) -> Iterator[tuple[str, str]]:
    """What is wrong with the HTTP/2 listener, if it is to be one. Much of this keeps strangers out."""
    if not http2.enabled:
        return
    has_certificate = bool(http2.tls_certificate_file)
    if has_certificate != bool(http2.tls_key_file):
        given, missing = ("certificate", "key") if has_certificate else ("key", "certificate")
        yield (
            f"http2.tls_{given}_file",
            f"http2.tls_{missing}_file is needed as well: a certificate and its key go together",
        )
    if http2.cleartext and (has_certificate or http2.tls_key_file):
        yield "http2.cleartext", "http2.cleartext can't be set with a certificate; choose one of them"
    if http2.max_streams * http2.receive_window_bytes > WINDOW_MAX_BYTES - INITIAL_WINDOW_BYTES:
        yield (
            "http2.max_streams",
            "http2.max_streams times http2.receive_window_bytes is more than HTTP/2's largest window, 2147483647; with "
            f"{http2.receive_window_bytes} bytes there can be at most "
            f"{(WINDOW_MAX_BYTES - INITIAL_WINDOW_BYTES) // http2.receive_window_bytes} streams",
        )
    if not is_loopback(http2.host):
        yield from _of_public_http2(http2, has_certificate)
    elif not http2.cleartext and not has_certificate and not http2.tls_key_file and http2.host not in LOCAL_HOSTS:
        yield (
            "http2.host",
            f"http2.host must be one of {', '.join(LOCAL_HOSTS)}, which the certificate that Parley makes is for; set "
            "http2.tls_certificate_file and http2.tls_key_file for others",
        )


def _of_public_http2(http2: Http2Settings, has_certificate: bool) -> Iterator[tuple[str, str]]:
    where = f"http2.host is {http2.host}, which other machines may reach"
    if http2.cleartext and not http2.cleartext_anywhere:
        yield (
            "http2.cleartext",
            f"{where}, and without TLS they could read and change every stream; set http2.tls_certificate_file and "
            "http2.tls_key_file, or, where something else keeps strangers off that network, http2.cleartext_anywhere",
        )
    if not http2.cleartext and not has_certificate and not http2.tls_key_file:
        yield (
            "http2.host",
            f"{where}: it needs a certificate that its clients trust, in http2.tls_certificate_file and "
            "http2.tls_key_file; the one that Parley makes itself is for loopback addresses alone",
        )
