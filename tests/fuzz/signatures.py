"""Signed streams: however they are changed or cut, no part is taken that its client did not sign in that place."""

import dataclasses
from collections.abc import Callable, Sequence
from random import Random

from parley.access.identity import EventGuard, RequestHead
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.authenticator import SigV4Authenticator
from parley.core.errors import ParleyError
from parley.ingress.http2.part_reader import PartReader
from parley.wire.payload_part import PayloadPart, encode_part
from tests.fuzz.noise import byte_by_byte, in_pieces, mutated
from tests.support.signing import CREDENTIALS, EventSigner, SignedHead, sign_request

NOW_S = 1_795_342_500.25

Taken = tuple[list[PayloadPart], str, bool]


class Keys:
    """The one key there is."""

    def find(self, access_key_id: str) -> AccessKey | None:
        known = AccessKey(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key)
        return known if access_key_id == known.access_key_id else None


def run(
    random: Random, reader: Callable[[EventGuard | None], PartReader] = lambda guard: PartReader(guard, 4_096)
) -> None:
    """One round. Raises AssertionError for a finding."""
    head = sign_request(time_s=NOW_S, style=random.choice(("python", "node")))
    if random.random() < 0.5:
        _change_request(head, random)
    else:
        _change_events(head, random, reader)


def _authenticate(request: RequestHead) -> EventGuard | None:
    return SigV4Authenticator(Keys(), clock=lambda: NOW_S).authenticate(request).guard


def _change_request(head: SignedHead, random: Random) -> None:
    request = RequestHead(head.method, head.target, head.fields, signs_events=True)
    changed = _changed(request, random)
    try:
        _authenticate(changed)
    except ParleyError:
        return
    assert _signed_part(changed) == _signed_part(request), "a request was taken that was not signed so"


def _changed(request: RequestHead, random: Random) -> RequestHead:
    at = random.randrange(len(request.headers) + 2)
    if at == len(request.headers):
        return dataclasses.replace(request, target=_text(request.target, random))
    if at > len(request.headers):
        return dataclasses.replace(request, method=_text(request.method, random))
    headers = list(request.headers)
    name, value = headers[at]
    match random.randrange(3):
        case 0:
            headers[at] = (name, _text(value, random))
        case 1:
            headers.append((random.choice((name, "x-more", "x-amzn-sagemaker-target-variant")), _text(value, random)))
        case _:
            del headers[at]
    return dataclasses.replace(request, headers=tuple(headers))


def _text(text: str, random: Random) -> str:
    # As the listener decodes what arrives; what can't be in a header, it has refused.
    changed = mutated(text.encode(), random).translate(None, b"\r\n\0")
    return changed.decode("utf-8", "surrogateescape")


def _signed_part(request: RequestHead) -> tuple[str, str, list[tuple[str, str]]]:
    """What a signature covers, spaces and the query's bare `?` aside."""
    authorization = " ".join(value for name, value in request.headers if name == "authorization")
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    names = [":authority" if name == "host" else name for name in names]
    fields = sorted((name, " ".join(value.split())) for name, value in request.headers if name in names)
    return request.method, request.target.rstrip("?"), fields


def _change_events(head: SignedHead, random: Random, reader: Callable[[EventGuard | None], PartReader]) -> None:
    signer = EventSigner(head.seed, clock=lambda: NOW_S)
    parts = [
        PayloadPart(random.randbytes(random.randint(1, 60)), random.random() < 0.5, random.random() < 0.8)
        for _ in range(random.randint(0, 4))
    ]
    events = [encode_part(part.data, is_text=part.is_text, is_complete=part.is_complete) for part in parts]
    frames = [signer.sign(event) for event in [*events, b""]]
    match random.randrange(4):
        case 0:
            data, is_whole = b"".join(frames), True
        case 1:
            random.shuffle(frames)
            data, is_whole = b"".join(frames), False
        case 2:
            # The checksums are right again: only the signature can tell.
            at = random.randrange(len(frames))
            frames[at] = _forged(frames[at], random)
            data, is_whole = b"".join(frames), False
        case _:
            data, is_whole = mutated(b"".join(frames), random), False

    def take(pieces: Sequence[bytes]) -> Taken:
        guard = _authenticate(RequestHead(head.method, head.target, head.fields, signs_events=True))
        return _take(pieces, reader(guard))

    whole = take([data])
    assert take(byte_by_byte(data)) == whole, "byte by byte it comes out otherwise"
    assert take(in_pieces(data, random)) == whole, "in pieces it comes out otherwise"
    taken, _, is_proven = whole
    assert taken == parts[: len(taken)], "a part was taken that was not signed in that place"
    assert not is_proven or taken == parts, "a stream was taken for whole that is not"
    assert not is_whole or whole == (parts, "", True), "a signed stream was refused"


def _forged(frame: bytes, random: Random) -> bytes:
    from zlib import crc32

    body = bytearray(frame[:-4])
    at = random.randrange(12, len(body))
    body[at] ^= 1 << random.randrange(8)
    return bytes(body) + crc32(body).to_bytes(4)


def _take(pieces: Sequence[bytes], reader: PartReader) -> Taken:
    taken: list[PayloadPart] = []
    try:
        for piece in pieces:
            taken.extend(reader.feed(piece))
        reader.finish()
    except ParleyError as error:
        return taken, error.code, reader.is_proven
    return taken, "", reader.is_proven
