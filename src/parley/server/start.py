"""Why a server could not start, for the person who started it."""

import errno
import os
import socket


class StartError(Exception):
    """A server could not start; each line of the text begins with a code and says why and what to do."""


def cannot_listen(
    host: str, port: int, error: OSError, *, host_option: str = "--host", port_option: str = "--port"
) -> StartError:
    """The address can't be listened on; the options are those that choose another one."""
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"port-in-use: Port {port} of {host} is in use. Stop what uses it, or choose another with {port_option}."
        )
    # A resolver's errors have numbers of their own.
    reason = error.strerror if isinstance(error, socket.gaierror) or not error.errno else os.strerror(error.errno)
    return StartError(
        f"address-unusable: {host}:{port} can't be listened on: {reason}. "
        f"Choose others with {host_option}, {port_option}."
    )
