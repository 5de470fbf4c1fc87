"""An issuer's keys, fetched in the background for as long as the node runs.

```
jwt_keys_url                                     ─► fetch ─► KeySet ─► KeySource
ISSUER/.well-known/openid-configuration ─► jwks_uri ┘
```
What can't be fetched is tried again, later and later; meanwhile the keys that are known stay in use for a while.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from parley.access.jwt.key_set import DOCUMENT_MAX_BYTES, KeySetError, parse_key_set
from parley.access.jwt.key_source import KeySource
from parley.server.addresses import is_loopback

_log = logging.getLogger("parley.access")

_TIMEOUT_S = 10.0
_RETRY_FIRST_S = 1.0
_JITTER_SHARE = 0.1
_CONFIGURATION = "/.well-known/openid-configuration"


class IssuerError(Exception):
    """The keys can't be had. Its text says why, and quotes nothing that the issuer said."""


class IssuerKeys:
    """Fetches an issuer's keys into `source`, every `interval_s`, and at once when it asks for more.

    `url` is where they are; empty: what the issuer's own configuration says (OpenID Connect Discovery 1.0 section 4).
    Only https is asked, but for addresses of this machine; redirects are not followed.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        issuer: str,
        url: str,
        interval_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._issuer = issuer
        self._url = url
        self._interval_s = interval_s
        self._jitter = jitter
        # What is asked in the clear is on this machine, and no proxy may come between.
        self._is_remote = (url or issuer).startswith("https:")
        self._wanted = asyncio.Event()
        self._is_failing = False
        source.on_wanted = self._wanted.set

    async def run(self) -> None:
        """Fetch until cancelled."""
        retry_s = _RETRY_FIRST_S
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=self._is_remote) as http:
            while True:
                self._wanted.clear()
                if await self._fetch(http):
                    retry_s, wait_s = _RETRY_FIRST_S, self._interval_s
                else:
                    wait_s = min(retry_s, self._interval_s)
                    retry_s *= 2
                await self._pause(wait_s * (1 - _JITTER_SHARE * self._jitter()))

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until a key is wanted."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _fetch(self, http: aiohttp.ClientSession) -> bool:
        try:
            keys = parse_key_set(await self._get(http, self._url or await self._discover(http)))
        except (IssuerError, KeySetError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not self._is_failing:
                # Texts of foreign exceptions are not shown: the log sees to that.
                _log.warning("the token issuer's keys can't be fetched: %s", _describe(error))
            self._is_failing = True
            return False
        if self._is_failing:
            _log.info("the token issuer's keys are fetched again")
        self._is_failing = False
        self._source.learn(keys)
        return True

    async def _discover(self, http: aiohttp.ClientSession) -> str:
        try:
            found = json.loads(await self._get(http, self._issuer.rstrip("/") + _CONFIGURATION))
        except (ValueError, RecursionError):
            raise IssuerError("its configuration is not JSON") from None
        # Section 4.3 there: another one's configuration must not be taken for this issuer's.
        if not isinstance(found, dict) or found.get("issuer") != self._issuer:
            raise IssuerError("its configuration is another issuer's")
        url = found.get("jwks_uri")
        if not isinstance(url, str):
            raise IssuerError("its configuration has no jwks_uri")
        return url

    async def _get(self, http: aiohttp.ClientSession, url: str) -> bytes:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise IssuerError("it is not at an https:// address")
        async with http.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise IssuerError(f"it answered {answer.status}")
            body = await answer.content.read(DOCUMENT_MAX_BYTES + 1)
            while len(body) <= DOCUMENT_MAX_BYTES and (more := await answer.content.read(DOCUMENT_MAX_BYTES)):
                body += more
        if len(body) > DOCUMENT_MAX_BYTES:
            raise IssuerError(f"it answered with more than {DOCUMENT_MAX_BYTES} bytes")
        return body


def _describe(error: Exception) -> object:
    """What the log shows: our own words as they are, others as the log describes an exception."""
    return str(error) if isinstance(error, IssuerError | KeySetError) else error
