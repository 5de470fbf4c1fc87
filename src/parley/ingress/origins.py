"""Which web pages may connect: browsers say where a page is from, and send it from any page to any server.

A request without an Origin is no page's. With one it is taken from this server's own origin, or from those listed.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from parley.access.identity import RequestHead
from parley.core.errors import ParleyError

ANY_ORIGIN = "*"

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """The origins whose pages may connect beside this server's own; `*` among them is all.

    With `trusts_names` a page is this server's own if its origin is what the request calls the server. Without it, only
    if that is an address or `localhost` as well: whoever owns a name can have it lead here, and then a page of theirs
    is of the same origin (DNS rebinding). Where everybody is asked who they are, that gains them nothing.
    """

    def __init__(self, allowed: Iterable[str] = (), *, trusts_names: bool = False) -> None:
        self._allowed = frozenset(_plain(origin) for origin in allowed)
        self._trusts_names = trusts_names

    @property
    def allows_all(self) -> bool:
        """Whether pages of any origin may connect."""
        return ANY_ORIGIN in self._allowed

    def check(self, request: RequestHead) -> str:
        """The origin that a request is from, which may connect; empty for one that is no page's.

        Raises:
            ParleyError: origin-forbidden.
        """
        if not self.allows(request):
            raise ParleyError("origin-forbidden")
        return next(iter(request.values("origin")), "")

    def allows(self, request: RequestHead) -> bool:
        """Whether a request is no page's, or a page's that may connect."""
        origins = request.values("origin")
        if len(origins) > 1:
            return False
        return not origins or self.allows_all or self._is_allowed(origins[0], request.values("host"))

    def _is_allowed(self, origin: str, hosts: list[str]) -> bool:
        plain = _plain(origin)
        if plain in self._allowed:
            return True
        scheme, separator, authority = plain.partition("://")
        if not separator or scheme not in _DEFAULT_PORTS or len(hosts) != 1:
            return False
        own = hosts[0].strip().lower().removesuffix(_DEFAULT_PORTS[scheme])
        return own == authority and (self._trusts_names or _is_address(own))


def _plain(origin: str) -> str:
    """An origin in one spelling: lower case, and without its scheme's port."""
    text = origin.strip().lower()
    return text.removesuffix(_DEFAULT_PORTS.get(text.partition("://")[0], "\0"))


def _is_address(authority: str) -> bool:
    """Whether it names a machine in a way that nobody can have lead elsewhere."""
    try:
        name = urlsplit(f"//{authority}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
