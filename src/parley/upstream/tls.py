"""TLS towards model servers and containers: whose certificate is wanted, and what is said when it is not that."""

import ssl
from collections.abc import Callable
from typing import Any

Contexts = Callable[[], ssl.SSLContext]
"""Gives the context for a handshake that begins now."""

_SHUTDOWN_TIMEOUT_S = 1.0
"""How long the other side may take to answer the end of TLS."""


def websocket_options(url: str, tls: Contexts | None, timeout_s: float) -> dict[str, Any]:
    """What `ws_connect` is told for this URL: nothing for one without TLS. Without `tls` the system's authorities
    count."""
    if not url.startswith("wss:"):
        return {}
    return {
        "ssl_context": ssl.create_default_context() if tls is None else tls(),
        "ssl_handshake_timeout": timeout_s,
        "ssl_shutdown_timeout": _SHUTDOWN_TIMEOUT_S,
    }


def tls_failure(error: BaseException) -> str:
    """What was the matter with TLS, without its full stop; empty where it was something else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted: {error.verify_message.rstrip('.')}; upstream.tls_ca_file says whose are"
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        return f"TLS failed: {reason or 'no reason given'}"
    return ""
