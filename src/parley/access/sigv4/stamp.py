"""Times as Signature Version 4 writes them: `20261122T101500Z`."""

import re
import time
from datetime import UTC, datetime

_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def parse_stamp(text: str) -> int | None:
    """Seconds since 1970, or None when the text is no such time."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    try:
        return int(datetime(*map(int, match.groups()), tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]
    except ValueError:
        return None


def format_stamp(seconds: int) -> str:
    """The time as it is signed. The first eight characters are the scope's date."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def describe_time(seconds: float) -> str:
    """The time for people: `2026-11-22T10:15:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
