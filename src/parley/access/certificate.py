"""Who sent a request: by the client certificate that TLS has verified."""

from collections.abc import Callable

from parley.access.caller import Caller
from parley.access.identity import CertificateNames, Identity, RequestHead
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError


class CertificateMethod:
    """A `Method` that takes whoever has a certificate for the name in it: its first URI, or its first DNS name, or its
    common name, in this order. `clock` gives seconds since 1970.
    """

    name = "client certificates"
    is_beside_others = True

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock

    def recognises(self, request: RequestHead) -> bool:
        """Whether its connection came with a certificate."""
        return request.certificate is not None

    def authenticate(self, request: RequestHead) -> Identity:
        """Who it is.

        Raises:
            ParleyError: credentials-missing without a certificate. invalid-token when it has no name, or is past its
                end: connections last.
        """
        certificate = request.certificate
        if certificate is None:
            raise ParleyError("credentials-missing", "There is no client certificate.")
        name = _name_in(certificate)
        if not name:
            raise ParleyError("invalid-token", "The client certificate names nobody: no URI, DNS name or common name.")
        if certificate.expires_at_s is not None and self._clock() >= certificate.expires_at_s:
            raise ParleyError("invalid-token", "The client certificate has ended since the connection was made.")
        known_as = f"certificate:{name}"
        caller = Caller(
            principal_of_key(known_as), known_as, method="certificate", expires_at_s=certificate.expires_at_s
        )
        return Identity(caller)


def _name_in(certificate: CertificateNames) -> str:
    return next((name for name in (*certificate.uris, *certificate.dns_names, certificate.common_name) if name), "")
