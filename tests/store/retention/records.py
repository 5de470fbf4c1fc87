"""What the tests of records share: a clock, a key file, an archive, and what was said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from parley.core.content import Text
from parley.store.retention.archive import Archive, Part, Reading
from parley.store.retention.entry import Closed, Entry, KeptAudio, KeptTurn, encode_entry
from parley.store.retention.envelope import Envelope, FileEnvelope
from parley.store.retention.frames import Header

NOW = 1_700_000_000.0
CANARY = "canary-of-what-was-said"
SESSION = "sess-1"
HEADER = Header(
    session_id=SESSION,
    part=0,
    retention="debug-audio",
    tenant="acme",
    principal="ab" * 32,
    began_s=int(NOW),
    expires_s=NOW + 100.0,
)
TURN = KeptTurn(1, 0, 16_000, Text.of(CANARY))
AUDIO = KeptAudio(0, CANARY.encode() * 10)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def key_file(folder: Path, *keys: bytes) -> Path:
    path = folder / "keys"
    path.write_text("\n".join(key.hex() for key in keys or (b"k" * 32,)))
    path.chmod(0o600)
    return path


def archive_in(folder: Path, clock: Clock, envelope: Envelope | None = None, **options: float) -> Archive:
    envelope = envelope or FileEnvelope(key_file(folder))
    return Archive(folder / "kept", envelope, clock=clock, wrap_timeout_s=options.pop("wrap_timeout_s", 5.0))


async def written(archive: Archive, *entries: Entry, session_id: str = SESSION, reason: str = "client-ended") -> Part:
    """A record with these entries and, unless `reason` is empty, an end."""
    part = await archive.begin(replace(HEADER, session_id=session_id))
    closed: Sequence[Entry] = [Closed(reason)] if reason else []
    await archive.append(part, [encode_entry(entry) for entry in (*entries, *closed)])
    return part


async def read(archive: Archive, session_id: str = SESSION) -> tuple[list[Entry], Reading]:
    reading, entries = Reading(), list[Entry]()
    async for some in archive.read(await archive.find(session_id), reading):
        entries += some
    return entries, reading
