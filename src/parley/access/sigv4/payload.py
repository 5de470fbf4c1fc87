"""What a request is signed to carry: nothing, a body with this hash, anything, or signed events.

The signature is verified before a byte of the body is read, so the head has to say what the body's hash is.
"""

import hmac
import re
from hashlib import sha256

from parley.access.identity import RequestHead
from parley.core.errors import ParleyError

CONTENT_HASH = "x-amz-content-sha256"
EVENTS_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
"""What stands for the hash of a payload that is a stream of signed events."""
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""What stands for the hash of a body that may be anything."""
EMPTY_PAYLOAD = sha256(b"").hexdigest()

_HASH = re.compile(r"[0-9a-f]{64}")


class BodyHash:
    """A `BodyGuard` that compares what came with the hash that was signed."""

    __slots__ = ("_expected", "_hash")

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._hash = sha256()

    def feed(self, data: bytes) -> None:
        """The next piece of the body."""
        self._hash.update(data)

    def finish(self) -> None:
        """That was all.

        Raises:
            ParleyError: invalid-signature.
        """
        if not hmac.compare_digest(self._hash.hexdigest(), self._expected):
            raise ParleyError("invalid-signature", f"The body is another one than {CONTENT_HASH} was signed for.")


def payload_hash_of(request: RequestHead) -> str:
    """The hash of its payload that a request was signed with, or what stands for one.

    Raises:
        ParleyError: invalid-signature, when that can't be told from its head, or can't be right.
    """
    if request.signs_events:
        return EVENTS_PAYLOAD
    said = [value.strip() for value in request.values(CONTENT_HASH)]
    if not said:
        if has_body(request):
            raise ParleyError(
                "invalid-signature",
                f"It has a body and no {CONTENT_HASH}: sign that header as well, with the body's SHA-256 or "
                f"{UNSIGNED_PAYLOAD}. Signatures are verified before bodies are read.",
            )
        return EMPTY_PAYLOAD
    if said[0] == UNSIGNED_PAYLOAD:
        return UNSIGNED_PAYLOAD
    if not _HASH.fullmatch(said[0]):
        raise ParleyError("invalid-signature", f"{CONTENT_HASH} is neither a SHA-256 nor {UNSIGNED_PAYLOAD}.")
    if said[0] != EMPTY_PAYLOAD and not has_body(request):
        raise ParleyError("invalid-signature", f"It has no body, and {CONTENT_HASH} is that of one.")
    return said[0]


def body_guard(request: RequestHead, payload_hash: str) -> BodyHash | None:
    """What a request's body is compared with, if it has one that was signed as it is."""
    return BodyHash(payload_hash) if has_body(request) and _HASH.fullmatch(payload_hash) else None


def has_body(request: RequestHead) -> bool:
    """Whether a body follows the head, by RFC 9112 section 6.3."""
    lengths = request.values("content-length")
    return bool(request.values("transfer-encoding")) or any(length.strip().strip("0") for length in lengths)
