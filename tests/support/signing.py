"""A client that signs by Signature Version 4: written from the specification, and nothing of the server's in it.

```
head = sign_request("/endpoints/parley/invocations-bidirectional-stream", style="node")
head.headers                    what to send besides the pseudo-fields
head.seed                       what the first event's signature is over
signer = EventSigner(head.seed)
signer.sign(event)              the event inside a signing event, as bytes for the wire
signer.sign(b"")                the event that ends the stream
```
"""

import hashlib
import hmac
import struct
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

EVENTS = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
EVENT_STREAM = "application/vnd.amazon.eventstream"
AUTHORITY = "localhost:8443"
TARGET = "/endpoints/parley/invocations-bidirectional-stream"

Style = Literal["python", "node"]


@dataclass(frozen=True)
class Credentials:
    """What a client signs with."""

    access_key_id: str = "AKIDOFATEST"
    secret_access_key: str = "not-a-secret-but-forty-characters-long-1"
    session_token: str = ""


CREDENTIALS = Credentials()


@dataclass(frozen=True)
class SignedHead:
    """A signed request's head: `headers` without the pseudo-fields, and its signature."""

    method: str
    target: str
    authority: str
    headers: tuple[tuple[str, str], ...]
    seed: str

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """The headers with `:authority` in front, as they are on HTTP/2."""
        return ((":authority", self.authority), *self.headers)


def stamp(time_s: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time_s))


def signing_key(credentials: Credentials, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + credentials.secret_access_key).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def sign_request(
    target: str = TARGET,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    authority: str = AUTHORITY,
    credentials: Credentials = CREDENTIALS,
    region: str = "us-east-1",
    service: str = "sagemaker",
    time_s: float | None = None,
    style: Style = "python",
    payload_hash: str = EVENTS,
    unsigned: Sequence[str] = (),
) -> SignedHead:
    """Sign a request as AWS's SDK for Python or for Node does; `headers` are signed as well unless named `unsigned`."""
    when = stamp(time.time() if time_s is None else time_s)
    signed = {"content-type": EVENT_STREAM, "x-amz-content-sha256": payload_hash, "x-amz-date": when}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    bare = {"user-agent": f"tests/{style}"}
    if style == "python":
        signed["host"] = authority
        target = target if "?" in target else target + "?"
        bare["accept"] = EVENT_STREAM
    else:
        signed |= {
            ":authority": authority,
            "amz-sdk-invocation-id": str(uuid.uuid4()),
            "amz-sdk-request": "attempt=1; max=1",
            "x-amz-user-agent": "tests/node",
        }
    for name, value in (headers or {}).items():
        (bare if name in unsigned else signed)[name] = value
    names = ";".join(sorted(signed))
    canonical = canonical_request(method, target, signed, payload_hash)
    scope = f"{when[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = signing_key(credentials, when[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    # On HTTP/2 the authority is a pseudo-field, whatever it was signed as.
    sent = {name: value for name, value in signed.items() if name not in ("host", ":authority")}
    return SignedHead(
        method, target, authority, (*{**sent, **bare, "authorization": authorization}.items(),), signature
    )


def canonical_request(method: str, target: str, signed: Mapping[str, str], payload_hash: str) -> str:
    path, _, query = target.partition("?")
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = sorted((quote(unquote(name), safe="~"), quote(unquote(value), safe="~")) for name, value in pairs)
    lines = [method, quote(path, safe="/~"), "&".join(f"{name}={value}" for name, value in encoded)]
    lines += [f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)]
    return "\n".join([*lines, "", ";".join(sorted(signed)), payload_hash])


class EventSigner:
    """Wraps events into signing events, each signature over the one before it."""

    def __init__(
        self,
        seed: str,
        credentials: Credentials = CREDENTIALS,
        *,
        region: str = "us-east-1",
        service: str = "sagemaker",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.previous = seed
        self._credentials = credentials
        self._region = region
        self._service = service
        self._clock = clock

    def sign(self, payload: bytes, *, time_s: float | None = None) -> bytes:
        """A signing event around these bytes; an empty one ends the stream."""
        date, signature = self.sign_parts(payload, time_s=time_s)
        return frame(date + b"\x10:chunk-signature\x06\x00\x20" + signature, payload)

    def sign_parts(self, payload: bytes, *, time_s: float | None = None) -> tuple[bytes, bytes]:
        """The encoded `:date` header, and the signature."""
        milliseconds = int((self._clock() if time_s is None else time_s) * 1000)
        when = stamp(milliseconds // 1000)
        date = b"\x05:date\x08" + struct.pack(">q", milliseconds)
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256-PAYLOAD",
                when,
                f"{when[:8]}/{self._region}/{self._service}/aws4_request",
                self.previous,
                hashlib.sha256(date).hexdigest(),
                hashlib.sha256(payload).hexdigest(),
            )
        )
        key = signing_key(self._credentials, when[:8], self._region, self._service)
        signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
        self.previous = signature.hex()
        return date, signature


def frame(headers: bytes, payload: bytes) -> bytes:
    """An event-stream message of encoded headers and a payload."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))
