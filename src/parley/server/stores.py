"""The stores that the settings name: of sessions, for other nodes, and of what is kept of them."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from parley.server.options import session_limits
from parley.server.settings.document import Settings
from parley.server.start import StartError

if TYPE_CHECKING:
    from parley.access.audit import Audit
    from parley.server.handover import Handover
    from parley.server.keeper import Keeper
    from parley.server.retained import Retained
    from parley.store.directory import DirectoryStore


def open_store(settings: Settings) -> "DirectoryStore | None":
    """The store that this node shares with others; None where there is none, and sessions end with their node.

    Raises:
        StartError: it can't be used.
    """
    if settings.store.kind == "memory" or not settings.session.resume_window_s:
        return None
    # Loaded only where it is asked for: with it comes the library that encrypts.
    from parley.store.directory import DirectoryStore, UnusableFolderError

    try:
        return DirectoryStore(Path(settings.store.directory))
    except UnusableFolderError as error:
        raise StartError(f"store-unusable: {error}") from None


def make_handover(settings: Settings, store: "DirectoryStore") -> "Handover":
    """The way of sessions to and from the store."""
    from parley.server.handover import Handover, state_max_bytes

    return Handover(store, random=secrets.token_bytes, bytes_max=state_max_bytes(session_limits(settings)))


def make_keeper(settings: Settings, audit: "Audit") -> "Keeper | None":
    """What keeps what was said; None where nothing is kept.

    Raises:
        StartError: the folder or the key file can't be used.
    """
    retention = settings.retention
    if not retention.directory:
        return None
    from parley.core.retention import Retention, RetentionTerms
    from parley.server.keeper import Keeper, KeepingLimits
    from parley.store.retention.archive import Archive
    from parley.store.retention.envelope import FileEnvelope, UnusableKeyError
    from parley.store.retention.folder import UnusableFolderError

    try:
        envelope = FileEnvelope(Path(retention.key_file))
        archive = Archive(Path(retention.directory), envelope, sweep_interval_s=retention.sweep_interval_s)
    except UnusableKeyError as error:
        raise StartError(f"key-unreadable: retention.key_file: {error}") from None
    except UnusableFolderError as error:
        raise StartError(f"store-unusable: {error}") from None
    terms = {
        tenant.name: RetentionTerms(Retention(tenant.retention), Retention(tenant.retention_max), is_offered=True)
        for tenant in settings.tenants
    }
    limits = KeepingLimits(
        transcript_ttl_s=retention.transcript_ttl_s,
        audio_ttl_s=retention.audio_ttl_s,
        session_max_bytes=retention.session_max_bytes,
    )
    return Keeper(archive, terms, audit, limits)


def make_retained(keeper: "Keeper") -> "Retained":
    """What is kept, for those who may read it."""
    from parley.server.retained import Retained

    return Retained(keeper)
