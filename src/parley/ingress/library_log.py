"""The logs of the libraries that read what clients send, with a client's mistakes told apart from our own."""

import logging
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

_PICOWS_PROTOCOL_ERROR = "WS parser error"


class LibraryLog(logging.LoggerAdapter[logging.Logger]):
    """A library's logger. Input that breaks HTTP or WebSocket is no error of ours: it is noted without being quoted.

    Both libraries report it at ERROR and print the input, which may be a header with a token in it.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """See logging.LoggerAdapter."""
        if isinstance(kwargs.get("exc_info"), HttpProcessingError):
            super().log(logging.INFO, "a client sent what is not HTTP and was disconnected")
        elif isinstance(msg, str) and msg.startswith(_PICOWS_PROTOCOL_ERROR):
            super().log(logging.INFO, "a client broke the WebSocket protocol and was disconnected")
        else:
            super().log(level, msg, *args, **kwargs)
