"""What has been said so far, turn by turn, as pieces come and are revised."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from parley.client.events import Event, Gap, InputCleared, TextDelta, TextRevised, TurnCancelled, TurnDone, TurnFailed

_CHANGES = TextDelta | TextRevised | TurnDone | InputCleared | TurnCancelled
ITEMS_MAX = 256
"""Turns whose text a Transcript keeps unless it is told otherwise."""


class Transcript:
    """The text of each item, from the events of a session given to `apply` in their order.

    A turn that was cancelled or cleared has no text any more; one that failed keeps what it had. The oldest go when
    there are more than `items_max`.
    """

    def __init__(self, items_max: int = ITEMS_MAX) -> None:
        self._items_max = items_max
        self._texts: dict[int, str] = {}
        self._over: set[int] = set()
        self._has_gap = False

    def apply(self, event: Event) -> bool:
        """Take an event; whether it changed the text of an item."""
        match event:
            case TextDelta(text, _, item):
                self._texts[item] = self._texts.get(item, "") + text
            case Gap(_, "slow-client"):
                # Revisions count characters of deltas that did not come; the turn's end has all of them.
                self._has_gap = True
            case TextRevised() if self._has_gap:
                return False
            case TextRevised(item, start, end, text):
                before = self._texts.get(item, "")
                self._texts[item] = before[:start] + text + before[end:]
            case TurnDone(text, item=item):
                self._has_gap = False
                self._over.add(item)
                # The final of a turn whose beginning the server let go lacks what the pieces have.
                if event.text_from_ms is None:
                    self._texts[item] = text
            case InputCleared(item) | TurnCancelled(item):
                self._texts.pop(item, None)
            case TurnFailed(item):
                self._has_gap = False
                self._over.add(item)
        self._forget()
        return isinstance(event, _CHANGES)

    def text(self, item: int = 0) -> str:
        """The item's text so far, without the space that models begin it with; 0 is the latest item that has text."""
        return self._texts.get(item or self.latest, "").removeprefix(" ")

    @property
    def latest(self) -> int:
        """The latest item that has text; 0 when there is none."""
        return max(self._texts, default=0)

    @property
    def items(self) -> list[int]:
        """The items that have text, in order."""
        return sorted(self._texts)

    def is_over(self, item: int) -> bool:
        """Whether nothing more comes of this item."""
        return item in self._over

    def __repr__(self) -> str:
        return f"Transcript(items={len(self._texts)})"

    def _forget(self) -> None:
        while len(self._texts) > self._items_max:
            del self._texts[min(self._texts)]
        while len(self._over) > self._items_max:
            self._over.remove(min(self._over))


def revised(deltas: Sequence[TextDelta], revision: TextRevised) -> list[TextDelta]:
    """The pieces of an item after a revision; the new words are where the last of the old ones were."""
    ends = list(accumulate(len(delta.text) for delta in deltas))
    kept: list[TextDelta] = []
    after: list[TextDelta] = []
    place_s: float | None = None
    for delta, end in zip(deltas, ends, strict=True):
        start = end - len(delta.text)
        head = delta.text[: max(0, revision.start - start)]
        tail = delta.text[max(0, revision.end - start) :]
        if head:
            kept.append(replace(delta, text=head))
        if tail:
            after.append(replace(delta, text=tail))
        if start < revision.end or place_s is None:
            place_s = delta.audio_end_s
    if revision.text:
        kept.append(TextDelta(revision.text, place_s, revision.item))
    return kept + after
