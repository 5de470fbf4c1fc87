"""JWTs as the settings want them: whose are taken, and where their issuer's keys come from."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

from parley.access.jwt.key_set import KeySet, KeySetError, VerificationKey, parse_key_set
from parley.access.jwt.key_source import KeySource
from parley.access.jwt.method import Expectation, JwtMethod
from parley.access.watched_file import FileError, WatchedFile
from parley.server.issuer_keys import IssuerKeys
from parley.server.settings.trust import AccessSettings
from parley.server.start import StartError

Background = Callable[[], Coroutine[Any, Any, None]]


class FileKeys:
    """The keys of a file, as `JwtMethod` looks for them."""

    def __init__(self, file: WatchedFile[KeySet]) -> None:
        self._file = file

    def find(self, key_id: str | None) -> tuple[VerificationKey, ...]:
        """See `KeySource.find`."""
        return self._file.current.find(key_id)


def make_jwt_method(access: AccessSettings, clock: Callable[[], float]) -> tuple[JwtMethod, list[Background]]:
    """The method, and what has to run for it. `clock` gives seconds since 1970.

    Raises:
        StartError: the file of keys can't be used.
    """
    expects = Expectation(
        issuer=access.jwt_issuer,
        audience=access.jwt_audience,
        algorithms=frozenset(access.jwt_algorithms),
        tenant_claim=access.jwt_tenant_claim,
        roles_claim=access.jwt_roles_claim,
    )
    if access.jwt_keys_file:
        try:
            # They are public.
            file = WatchedFile(access.jwt_keys_file, _parse, "token issuer's keys", is_secret=False)
        except FileError as error:
            raise StartError("\n".join(f"keys-unusable: {problem}" for problem in error.problems)) from None
        return JwtMethod(expects, FileKeys(file), clock=clock), []
    source = KeySource(clock=time.monotonic, stale_max_s=access.jwt_keys_stale_max_s)
    fetching = IssuerKeys(
        source, issuer=access.jwt_issuer, url=access.jwt_keys_url, interval_s=access.jwt_keys_interval_s
    )
    return JwtMethod(expects, source, clock=clock), [fetching.run]


def _parse(document: bytes) -> KeySet:
    try:
        return parse_key_set(document)
    except KeySetError as error:
        raise FileError(str(error)) from None
