"""A request's head, as far as it decides who gets the connection.

picows takes less than RFC 6455 allows: the Connection header has to be the one word `Upgrade`, where Firefox sends
`keep-alive, Upgrade`. And it answers in plain text what is not an upgrade by its rules. So a head that it is given is
one that it takes, and all others go to the plain HTTP server.
"""

import re

_REQUEST_LINE = re.compile(rb"GET [^ \r\n]+ HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_BODY = re.compile(rb"\r\n(?:content-length:[ \t]*0*[1-9]|transfer-encoding:)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:([^\r\n]*)", re.IGNORECASE)


def is_upgrade(head: bytes) -> bool:
    """Whether it asks for a WebSocket (RFC 6455 section 4.2.1). `head` ends with its empty line."""
    return bool(_REQUEST_LINE.match(head) and _UPGRADE.search(head) and not _BODY.search(head))


def with_plain_connection(head: bytes) -> bytes:
    """The same head with `Connection: Upgrade` alone, if that is among what it says of the connection.

    The header is a list and may come more than once (RFC 9110 section 7.6.1).
    """
    listed = b",".join(_CONNECTION.findall(head))
    if b"upgrade" not in (option.strip().lower() for option in listed.split(b",")):
        return head
    line, rest = _CONNECTION.sub(b"", head).split(b"\r\n", 1)
    return b"%b\r\nConnection: Upgrade\r\n%b" % (line, rest)
