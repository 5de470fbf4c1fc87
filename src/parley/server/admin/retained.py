"""The part of the admin API that is about what is kept of sessions: who may see, read or shred it."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from parley.access.action import NODE_TARGET, Target
from parley.core.errors import ParleyError
from parley.server.admin.asking import Asker, Raw
from parley.server.retained_views import PAGE_MAX, Purged, RetainedList, TranscriptView

if TYPE_CHECKING:
    from parley.server.retained import Retained

Form = Annotated[Literal["json", "text", "vtt"], msgspec.Meta(description="How the transcript is written.")]
AfterItem = Annotated[int, msgspec.Meta(ge=0, description="What `next` of the page before said.")]
Records = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX, description="Sessions at the most.")]
TenantName = Annotated[str, msgspec.Meta(max_length=64, description="All that is kept of this tenant's sessions.")]
IsExpired = Annotated[bool, msgspec.Meta(description="All that is past its time.")]

TEXT, VTT, WAV = "text/plain", "text/vtt", "audio/wav"


class RetainedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many to list."""

    limit: Records = PAGE_MAX


class TranscriptQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which part of a transcript, and how it is written."""

    form: Form = "json"
    after: AfterItem = 0


class PurgeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What to shred: one of the two."""

    tenant: TenantName = ""
    expired: IsExpired = False


class RetainedOperations:
    """What may be asked of it. Without `retained` nothing is kept here."""

    def __init__(self, retained: "Retained | None") -> None:
        self._retained = retained

    async def check(self, asker: Asker, action: Literal["read", "end"], session_id: str) -> str:
        """Whether whoever asks may do this with what is kept of a session; whose it is then.

        Raises:
            ParleyError: forbidden; nothing-retained, also when they may not know that there is something.
        """
        owner = await self._here().find(session_id)
        target = Target(owner.tenant)
        if not asker.may("observe", target) and not asker.may(action, target):
            raise ParleyError("nothing-retained")
        asker.allow(action, target)
        return owner.tenant

    def _here(self) -> "Retained":
        if self._retained is None:
            raise ParleyError("nothing-retained")
        return self._retained

    async def list(self, asker: Asker, query: RetainedQuery) -> RetainedList:
        """Of which sessions something is kept that whoever asks may observe."""
        if self._retained is None:
            return RetainedList(retained=[], more=False)
        return await self._retained.list(lambda tenant: asker.may("observe", Target(tenant)), query.limit)

    async def transcript(self, session_id: str, query: TranscriptQuery) -> TranscriptView | Raw:
        """What was said in a session."""
        view = await self._here().transcript(session_id, query.after)
        if query.form == "json":
            return view
        # With it comes the client's code, of which a node has no other use.
        from parley.server.retained_text import as_text, as_vtt

        text = as_text(view) if query.form == "text" else as_vtt(view)
        return Raw(TEXT if query.form == "text" else VTT, text.encode())

    async def audio(self, session_id: str) -> Raw:
        """A session's audio."""
        return Raw(WAV, (await self._here().audio(session_id)).stream())

    async def purge(self, session_id: str) -> Purged:
        """Shred what is kept of a session."""
        return await self._here().purge(session_id)

    async def purge_many(self, asker: Asker, query: PurgeQuery) -> Purged:
        """Shred what is kept of a tenant's sessions, or what is past its time.

        Raises:
            ParleyError: forbidden; bad-request, unless it is said which of the two.
        """
        if bool(query.tenant) == query.expired:
            raise ParleyError("bad-request", "Say either `tenant` or `expired=true`.")
        asker.allow("end", Target(query.tenant) if query.tenant else NODE_TARGET)
        if self._retained is None:
            return Purged(records=0)
        return await (self._retained.purge_tenant(query.tenant) if query.tenant else self._retained.purge_expired())
