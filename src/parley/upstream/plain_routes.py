"""The plain HTTP routes that a model server has beside its realtime one."""

import socket
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from parley.upstream.tls import Contexts

BODY_MAX_BYTES = 1_048_576


def http_url(realtime_url: str, path: str) -> str:
    """The URL of a plain HTTP route on the server of a realtime URL."""
    parts = urlsplit(realtime_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    prefix = parts.path.removesuffix("/v1/realtime").rstrip("/")
    return urlunsplit((scheme, parts.netloc, prefix + path, "", ""))


class PlainRoutes:
    """Asks one server. `address` is where to connect to instead of the addresses of the URL's host, which remains the
    name that is asked for and whose certificate is wanted. `tls` is for wss:// URLs; without it the system's
    authorities count. To be entered before use.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        api_key: str | None = None,
        address: str = "",
        tls: Contexts | None = None,
    ) -> None:
        self._url = url
        self._tls = tls if url.startswith("wss:") else None
        self._address = address
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = _FixedResolver(self._address) if self._address else None
        connector = aiohttp.TCPConnector(resolver=resolver)
        self._http = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def get(self, path: str, max_bytes: int = BODY_MAX_BYTES) -> bytes | None:
        """The body of the answer; None when its status is not 200, or when it is longer than `max_bytes`.

        Raises aiohttp.ClientError, TimeoutError or OSError when none comes.
        """
        assert self._http is not None
        # Followed, a redirect would show the key elsewhere, and `address` is of this server alone.
        url, tls = http_url(self._url, path), True if self._tls is None else self._tls()
        async with self._http.get(url, allow_redirects=False, ssl=tls) as response:
            if response.status != 200:
                return None
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    return None
            return bytes(body)


class _FixedResolver(AbstractResolver):
    """Finds every name at one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host=self._address, port=port, family=found, proto=0, flags=flags)]

    async def close(self) -> None:
        """Nothing is open."""
