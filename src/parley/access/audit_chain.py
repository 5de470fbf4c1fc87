"""The audit log's lines: JSON objects, each bound to the one before it by a hash.

```
{"seq":2,"time":"2026-11-22T10:15:00.250Z","action":"start","actor":"key:captions",...,"prev":HASH OF 1,"hash":HASH}
```
`hash` is SHA-256 over everything before it in the line, `prev` included; with a key it is HMAC-SHA256. So whoever
changes, removes, adds or moves a line has to make all that follow anew, and can't without the key. Lines cut off at the
end are seen by whoever knows the last hash.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

GENESIS = "0" * 64
"""What the first line of all is bound to."""

LINE_MAX_BYTES = 8_192

_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"}\n?$')


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: the number and the hash of its last line."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line, counted from 1, that does not follow from the one before it, and why it doesn't."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a look at a chain: how many lines hold, where it stands behind them, and what is wrong then."""

    lines: int
    end: Link
    fault: Fault | None = None


def bind(entry: Mapping[str, object], after: Link, key: bytes = b"") -> tuple[bytes, Link]:
    """The line of an entry behind this link, with its newline, and the link that it is."""
    body = json.dumps({"seq": after.seq + 1, **entry, "prev": after.hash}, separators=(",", ":")).encode()
    digest = _digest(body[:-1], key)
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', Link(after.seq + 1, digest)


def read(line: bytes, key: bytes = b"") -> tuple[dict[str, object], Link]:
    """A line's entry and the link that it is.

    Raises:
        ValueError: why it is no line of this log, or not as it was written.
    """
    tail = _TAIL.search(line)
    if tail is None or len(line) > LINE_MAX_BYTES:
        raise ValueError("it is no line of an audit log")
    if not hmac.compare_digest(_digest(line[: tail.start()], key), tail[1].decode()):
        raise ValueError("it is not as it was written, or bound with another key")
    entry = json.loads(line)
    return entry, Link(entry["seq"], entry["hash"])


def verify(lines: Iterable[bytes], key: bytes = b"", after: Link | None = None) -> Verdict:
    """Follow a chain from this link on, or from wherever its first line says, up to its end or its first fault."""
    at, count = after, 0
    for count, line in enumerate(lines, 1):
        try:
            entry, link = read(line, key)
        except ValueError as error:
            return Verdict(count - 1, at or Link(), Fault(count, str(error)))
        if at is None:
            at = Link(link.seq - 1, str(entry["prev"]))
        if entry["prev"] != at.hash or link.seq != at.seq + 1:
            return Verdict(count - 1, at, Fault(count, _gap(at, link)))
        at = link
    return Verdict(count, at or Link())


def _gap(at: Link, link: Link) -> str:
    if link.seq > at.seq + 1:
        return f"the {link.seq - at.seq - 1} before it are missing"
    if link.seq <= at.seq:
        return "it was put there again, or moved"
    return "it does not follow from the line before it"


def _digest(body: bytes, key: bytes) -> str:
    return (hmac.digest(key, body, "sha256") if key else hashlib.sha256(body).digest()).hex()
