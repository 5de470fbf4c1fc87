"""The store of sessions that the settings name, and the way to it."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from parley.server.options import session_limits
from parley.server.settings.document import Settings
from parley.server.start import StartError

if TYPE_CHECKING:
    from parley.server.handover import Handover
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
