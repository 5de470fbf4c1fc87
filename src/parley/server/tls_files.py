"""TLS contexts that follow their files: a certificate is replaced without a restart, and no session notices.

```
handshake ─► TlsFiles() ─► a second since the last look? have the files changed? ─► the context, made anew if so
                                └ what has changed can't be used: the context before it stays, and the log says why
```
A connection keeps the context that it began with.
"""

import logging
import os
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from parley.server.start import StartError

_log = logging.getLogger("parley.server")

LOOK_INTERVAL_S = 1.0
NOTICE_S = 14 * 86_400.0
"""What a certificate is still good for when the log begins to say so."""
NOTICE_INTERVAL_S = 86_400.0

_State = tuple[tuple[int, int, int, int] | None, ...]


class TlsFiles:
    """Call it for each handshake: it returns the context of the files as they are, at most a second old.

    `make` makes a context from them, and raises StartError when that can't be done; it is called here for the first
    time. `name` is what they are in the settings. `certificate_file` is the one whose end is told; empty for none.
    `clock` gives seconds, and `wall_clock` seconds since 1970.

    Files are often replaced one after the other. So what can't be used is tried again at the next look, and told only
    if it is still so.

    Raises:
        StartError: when made, what `make` says.
    """

    def __init__(
        self,
        make: Callable[[], ssl.SSLContext],
        files: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        certificate_file: str | os.PathLike[str] = "",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._make = make
        self._files = tuple(Path(file) for file in files)
        self._name = name
        self._certificate_file = certificate_file
        self._clock = clock
        self._wall_clock = wall_clock
        self._looked_at_s = clock()
        self._state = self._look()
        self._failures = 0
        self._noticed_at_s: float | None = None
        self._context = make()
        self._expires_at_s = self._expiry()
        self._tell_expiry()

    def __call__(self) -> ssl.SSLContext:
        """The context for a handshake that begins now. A look at the files takes some microseconds, a change some
        milliseconds."""
        now_s = self._clock()
        if now_s - self._looked_at_s >= LOOK_INTERVAL_S:
            self._looked_at_s = now_s
            self._follow()
            self._tell_expiry()
        return self._context

    def _follow(self) -> None:
        state = self._look()
        if state == self._state and self._failures != 1:
            return
        if state != self._state:
            self._failures = 0
        self._state = state
        try:
            self._context = self._make()
        except StartError as error:
            self._failures += 1
            if self._failures == 2:
                _log.error(
                    "%s: its files have changed and can't be used; those before them stay. %s", self._name, error
                )
            return
        self._failures = 0
        self._noticed_at_s = None
        self._expires_at_s = self._expiry()
        _log.info("%s: its files have changed and are used from now on", self._name)

    def _look(self) -> _State:
        found: list[tuple[int, int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
            except OSError:
                found.append(None)
            else:
                found.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def _expiry(self) -> float | None:
        if not self._certificate_file:
            return None
        # With it come the libraries of certificates, which only those who use some have to load.
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(Path(self._certificate_file).read_bytes())
        except (OSError, ValueError):
            return None
        return certificate.not_valid_after_utc.timestamp()

    def _tell_expiry(self) -> None:
        if self._expires_at_s is None:
            return
        left_s = self._expires_at_s - self._wall_clock()
        if left_s >= NOTICE_S:
            return
        now_s = self._clock()
        if self._noticed_at_s is not None and now_s - self._noticed_at_s < NOTICE_INTERVAL_S:
            return
        self._noticed_at_s = now_s
        day = datetime.fromtimestamp(self._expires_at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if left_s <= 0:
            _log.error("%s: the certificate ended on %s; clients refuse it. Replace its files.", self._name, day)
        else:
            _log.warning(
                "%s: the certificate is good for %.1f more days, until %s. Replace its files; no restart is needed.",
                self._name,
                left_s / 86_400.0,
                day,
            )
