"""Why a connection does not come about, found out apart from AWS's runtime library.

That one keeps a failed TLS handshake to itself for 10 to 30 s, on purpose (its TLS library's defence against timing
attacks), so that a certificate that is not trusted looks like a server that does not answer.
"""

import asyncio
import contextlib
import os
import ssl

_TIMEOUT_S = 2.0
_PORT = 443


async def tls_problem(place: str, ca_file: str) -> Exception | None:
    """What is wrong with TLS at `place` (host and port); None when nothing is, or it can't be found out in 2 s."""
    host, _, port = place.rpartition(":") if ":" in place else (place, "", str(_PORT))
    try:
        context = ssl.create_default_context(cafile=ca_file or os.environ.get("AWS_CA_BUNDLE") or None)
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    except ssl.SSLError as error:
        return error
    except (OSError, TimeoutError, ValueError):
        return None
    return None
