"""What is kept of a session: which class is in force, and the turns that are to be kept."""

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import Effect, KeepTurn, Retain
from parley.core.errors import ParleyError
from parley.core.retention import Retention, RetentionTerms
from parley.core.turns import Turn


class Keeping:
    """Decides what is kept, within the tenant's terms; effects are appended to `out`.

    Audio is kept with the consent of whoever speaks alone: a tenant that has it kept of all its sessions gets the
    transcript of those that don't say that there is one.
    """

    __slots__ = ("_out", "_terms", "retention")

    def __init__(self, terms: RetentionTerms, out: list[Effect]) -> None:
        self._terms = terms
        self._out = out
        self.retention = self._without_consent(terms.usual) if terms.is_offered else Retention.NONE

    @staticmethod
    def _without_consent(usual: Retention) -> Retention:
        return min(usual, Retention.TRANSCRIPT, key=lambda one: one.rank)

    def begin(self) -> None:
        """The session begins, here or again."""
        if self.retention is not Retention.NONE:
            self._out.append(Retain(self.retention))

    def choose(self, event: ev.RetentionChosen, *, has_audio: bool) -> None:
        """The client said what is to be kept.

        Raises:
            ParleyError: consent-missing, forbidden, retention-unavailable; invalid-event, when it is too late to have
                more kept.
        """
        terms = self._terms
        wanted = terms.usual if event.retention is None else event.retention
        if wanted is Retention.DEBUG_AUDIO and not event.consent:
            if event.retention is not None:
                raise ParleyError("consent-missing")
            wanted = self._without_consent(wanted)
        if wanted is self.retention:
            return
        if wanted is not Retention.NONE:
            self._check(wanted, has_audio=has_audio)
        self.retention = wanted
        self._out.append(Retain(wanted))

    def _check(self, wanted: Retention, *, has_audio: bool) -> None:
        terms = self._terms
        if not terms.is_offered:
            raise ParleyError("retention-unavailable", "This server keeps nothing: it has no folder for it.")
        most = max(terms.usual, terms.most, key=lambda one: one.rank)
        if wanted.rank > most.rank:
            raise ParleyError("forbidden", f"The most that may be kept of this tenant's sessions is `{most}`.")
        if has_audio:
            detail = "`parley.retention` is chosen before the session's first audio; after that it can only be `none`."
            raise ParleyError("invalid-event", detail)

    def ended(self, turn: Turn, text: Text, text_from: int | None) -> None:
        """A turn has its final text."""
        if self.retention is not Retention.NONE:
            begin, end = turn.interval(0, turn.received_samples)
            self._out.append(KeepTurn(turn.item, begin, end, text, text_from))

    def restore(self, retention: str) -> None:
        """Go on with what was in force elsewhere.

        Raises:
            ValueError: there is no such class.
        """
        self.retention = Retention(retention) if retention else Retention.NONE
