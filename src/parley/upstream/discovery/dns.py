"""Model servers by a name that has an address for each of them, as a headless service has."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from parley.upstream.discovery.discovery import DiscoveryError
from parley.upstream.discovery.question import Question

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_NO_ADDRESS = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""The answers for a name that is not there, or has no address: what a service without servers has."""

Resolve = Callable[..., Awaitable[Sequence[tuple[Any, ...]]]]
"""As `loop.getaddrinfo`."""


class DnsSource[S]:
    """Looks the host of `url` up, a realtime URL. `make` gives the spec of a server from the URL and its address.

    Addresses of one family are taken, the one that the system puts first: a server that has one of each would be
    counted twice.
    """

    def __init__(
        self,
        url: str,
        make: Callable[[str, str], S],
        *,
        timeout_s: float = 5.0,
        resolve: Resolve | None = None,
    ) -> None:
        self._url = url
        self._make = make
        self._timeout_s = timeout_s
        self._resolve = resolve
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        self._question = Question(self._ask)

    @property
    def place(self) -> str:
        """See `Source.place`."""
        return f"DNS, name {self._host}"

    async def look(self) -> Sequence[S]:
        """See `Source.look`."""
        try:
            found = await self._question.answer(self._timeout_s)
        except TimeoutError:
            raise DiscoveryError(f"no answer within {self._timeout_s:g} s; the last ones are kept.") from None
        except socket.gaierror as error:
            if error.errno in _NO_ADDRESS:
                return []
            raise DiscoveryError(f"{error.strerror}; the last ones are kept.") from None
        except OSError as error:
            raise DiscoveryError(f"{type(error).__name__}; the last ones are kept.") from None
        family = found[0][0] if found else None
        addresses = sorted({str(one[4][0]) for one in found if one[0] == family})
        return [self._make(self._url, address) for address in addresses]

    async def close(self) -> None:
        """See `Source.close`."""
        await self._question.close()

    async def _ask(self) -> Sequence[tuple[Any, ...]]:
        resolve = self._resolve or asyncio.get_running_loop().getaddrinfo
        return await resolve(self._host, self._port, type=socket.SOCK_STREAM)
