"""The options that say whose certificates a command believes, and which one it shows, where it connects over TLS."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parley.cli.failure import Misuse

if TYPE_CHECKING:
    import ssl

_NAMES = ("tls_ca_file", "tls_certificate_file", "tls_key_file")
_SECTION = "options"
_SETTING = re.compile(rf"{_SECTION}\.(tls_\w+)")


@dataclass(frozen=True, slots=True)
class TlsChoice:
    """The files that were named; None where the system's authorities count, and where nothing is shown."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def is_given(self) -> bool:
        """Whether any was."""
        return any((self.ca_file, self.certificate_file, self.key_file))

    def context(self) -> "ssl.SSLContext | None":
        """The context for connections; None where there is nothing to choose.

        Raises:
            Misuse: a file can't be used, or only one of a certificate and its key was named.
        """
        if not self.is_given:
            return None
        if (self.certificate_file is None) != (self.key_file is None):
            missing = "--tls-key-file" if self.key_file is None else "--tls-certificate-file"
            raise Misuse(f"wrong-usage: {missing} is needed as well: a certificate and its key go together.")
        # With it come the libraries that a command without TLS does without.
        from parley.server.start import StartError
        from parley.server.tls import client_context

        try:
            return client_context(
                ca_file=self.ca_file or "",
                certificate_file=self.certificate_file or "",
                key_file=self.key_file or "",
                section=_SECTION,
            )
        except StartError as error:
            raise Misuse(_SETTING.sub(lambda found: f"--{found[1].replace('_', '-')}", str(error))) from None


def tls_options[R](function: Callable[..., R]) -> Callable[..., R]:
    """Add them to a command, as `tls`, a TlsChoice."""

    @wraps(function)
    def with_choice(*args: Any, **options: Any) -> R:
        ca_file, certificate_file, key_file = (options.pop(name) for name in _NAMES)
        return function(*args, tls=TlsChoice(ca_file, certificate_file, key_file), **options)

    helps = (
        "Whose certificates are believed over TLS, PEM; without it, the system's authorities'.",
        "A certificate of this client's own, shown to a server that asks for one, PEM.",
        "Its key, PEM, not encrypted.",
    )
    wrapped: Callable[..., R] = with_choice
    for name, text in reversed(tuple(zip(_NAMES, helps, strict=True))):
        option = f"--{name.replace('_', '-')}"
        kind = click.Path(path_type=Path, dir_okay=False)
        wrapped = click.option(option, name, type=kind, metavar="FILE", help=text)(wrapped)
    return wrapped
