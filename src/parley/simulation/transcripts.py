"""What a client has been told, put together as its protocol says, and held against what was spoken."""

from collections.abc import Collection
from dataclasses import dataclass

from parley.simulation.invariants import require
from parley.simulation.model import FRAME_SAMPLES, steps_of
from parley.simulation.performance import Performance
from parley.simulation.speech import base_of
from parley.wire import contract

_HEAD_FRAMES = 7


@dataclass(slots=True)
class ToldItem:
    """A turn as the client knows it. `text` has every revision applied; `final` is what its end says."""

    text: str = ""
    end: str = ""
    final: str = ""
    is_whole: bool = True
    completion_tokens: int = 0
    revisions: int = 0


class Told:
    """Everything that one user was told, over all connections."""

    def __init__(self, name: str, *, is_contract: bool) -> None:
        self.name = name
        self.is_contract = is_contract
        self.items: dict[int, ToldItem] = {}
        self.last_seq = 0
        self.errors: list[str] = []
        self.reason = ""
        self._open_item = 1

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return sum(1 for item in self.items.values() if item.end)

    def restart(self) -> None:
        """Another session has begun; nothing of the one before counts."""
        self.items.clear()
        self.last_seq = 0
        self.reason = ""

    def take(self, event: contract.ContractEvent) -> None:
        """The next event."""
        seq = getattr(event, "seq", 0)
        if seq:
            require(self.is_contract, "{}: a number for a client that did not opt in", self.name)
            require(seq == self.last_seq + 1, "{}: event {} came after {}", self.name, seq, self.last_seq)
            self.last_seq = seq
            require(not self.reason, "{}: an event after session.ended", self.name)
        match event:
            case contract.Delta(text, item):
                self._running(item).text += text.decode()
            case contract.Revised(item=number, start=start, end=end, text=text):
                told = self._running(number)
                require(start <= end <= len(told.text), "{}: a revision past the text's end", self.name)
                told.text = told.text[:start] + text.decode() + told.text[end:]
                told.revisions += 1
            case contract.Done(text, usage, item):
                told = self._finish(item, "done")
                told.final, told.is_whole = text.decode(), event.text_from_ms is None
                told.completion_tokens = usage.completion_tokens
            case contract.TurnFailed(item):
                self._finish(item, "failed")
            case contract.Cancelled(item):
                self._finish(item, "cancelled")
            case contract.Cleared(item):
                self._finish(item, "cleared")
            case contract.Failed(parley_code=code):
                self.errors.append(str(code))
                if code == "turn-failed" and not self.is_contract:
                    self._finish(0, "failed")
            case contract.Ended(reason):
                self.reason = reason
            case contract.Recovered(lost=lost) | contract.Resumed(lost=lost):
                # The pauses of the speech are closer together than the journal is long: it always reaches back.
                require(not lost, "{}: {} is said to be lost", self.name, lost)
            case contract.Unknown(kind):
                require(False, "{}: an event of unknown type {}", self.name, kind)
            case _:
                pass

    def _running(self, number: int) -> ToldItem:
        if not number:
            require(not self.is_contract, "{}: text without an item", self.name)
            number = self._open_item
        told = self.items.setdefault(number, ToldItem())
        require(not told.end, "{}: text for item {}, which is {}", self.name, number, told.end)
        return told

    def _finish(self, number: int, end: str) -> ToldItem:
        failed = self.items.get(number)
        if failed is not None and failed.end == "failed" and end in ("cleared", "cancelled"):
            # The turn had failed, and its user had not finished with it.
            return failed
        told = self._running(number)
        told.end = end
        if not number:
            self._open_item += 1
        return told


def check_transcript(
    told: Told, performance: Performance, *, is_over: bool, diverges: bool, swallowed: Collection[str] = ()
) -> None:
    """Hold what the client was told against what was spoken. `is_over`: everything was said and answered. `swallowed`
    are words that a mute model heard; nobody can know of them unless it is mute for long.

    Raises:
        InvariantBroken: a word is doubled, missing or wrong; a turn has another end than it was given.
    """
    name = told.name
    for number, item in told.items.items():
        require(number <= len(performance.items), "{}: item {} was never spoken", name, number)
        meant = performance.items[number - 1]
        require(item.end != "cleared" or meant.is_cleared, "{}: item {} was not cleared", name, number)
        require(item.end != "cancelled" or meant.is_cancelled, "{}: item {} was not given up", name, number)
        _check_steps(name, number, item, meant.end - meant.start)
        words = performance.words(number)
        if diverges:
            _check_differing(name, number, item, words, is_contract=told.is_contract)
        else:
            _check_same(name, number, item, words, swallowed)
    if is_over:
        for number, meant in enumerate(performance.items, 1):
            end = told.items[number].end if number in told.items else ""
            ends = {"cleared", "failed"} if meant.is_cleared else {"done", "failed"}
            if meant.is_cancelled:
                ends.add("cancelled")
            require(end in ends, "{}: item {} ended as {!r}, not as one of {}", name, number, end, sorted(ends))


def _check_steps(name: str, number: int, item: ToldItem, samples: int) -> None:
    """The steps that a turn is said to have cost are those of an undisturbed one."""
    if item.end != "done":
        return
    steps = steps_of(samples)
    # A leg that begins again within the last frames of a turn has not the head start of one that began before. And a
    # server that shuts down when it has said everything ends the turn without the steps that would say nothing.
    least = min(steps - _HEAD_FRAMES, -(-samples // FRAME_SAMPLES))
    require(
        least <= item.completion_tokens <= steps + _HEAD_FRAMES,
        "{}: item {} cost {} steps instead of {}",
        name,
        number,
        item.completion_tokens,
        steps,
    )


def _check_same(name: str, number: int, item: ToldItem, words: list[str], swallowed: Collection[str]) -> None:
    whole = "".join(words)
    if swallowed and item.end != "done" and not whole.startswith(item.text):
        return
    # What one leg had said, another may have swallowed: the end is one decode, what was told before it may be two.
    text = _without(words, swallowed, item.text) if item.end == "done" and item.text != whole else whole
    final = _without(words, swallowed, item.final) if item.final != whole else whole
    says_so = text.startswith(item.text) or item.revisions > 0
    difference = Difference(item.text, text)
    require(says_so, "{}: item {} says what was not spoken: {}", name, number, difference)
    if item.end != "done":
        return
    if item.is_whole:
        difference = Difference(item.final, final)
        require(item.final == final, "{}: item {} ends wrongly: {}", name, number, difference)
    else:
        require(final.endswith(item.final), "{}: item {} is not an end of what was spoken", name, number)
    difference = Difference(item.text, text)
    require(item.text == text, "{}: item {} is not whole: {}", name, number, difference)


def _without(words: list[str], swallowed: Collection[str], said: str) -> str:
    """What of these words may be said when a mute model heard some of them: `said`, if that is all that is missing.

    A mute model makes a pause where there is none, and another leg that begins in it may cut a word.
    """
    left, kept = [word.strip() for word in words], ""
    for word in said.split():
        while left and left[0] != word and left[0] in swallowed and word in left:
            left.pop(0)
        if not left or (left[0] != word and left[0] not in swallowed):
            break
        left.pop(0)
        kept += f" {word}"
    return kept + "".join(f" {word}" for word in left if word not in swallowed)


def _check_differing(name: str, number: int, item: ToldItem, words: list[str], *, is_contract: bool) -> None:
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        places.setdefault(word.strip(), []).append(place)
    if is_contract:
        if item.end == "done" and item.is_whole:
            require(item.text == item.final, "{}: item {} and its revisions differ: {}", name, number,
                    Difference(item.text, item.final))  # fmt: skip
    else:
        # Where the connection broke, the last word may be the first of two tokens.
        text = item.text if item.end == "done" else item.text.rpartition(" ")[0]
        _check_order(name, number, text, places)
    if item.end == "done":
        _check_order(name, number, item.final, places)


def _check_order(name: str, number: int, text: str, places: dict[str, list[int]]) -> None:
    """No word comes more often than it was spoken, and none before one that was spoken earlier."""
    last, last_word = -1, ""
    for word in text.split():
        spoken = places.get(base_of(word), [])
        require(bool(spoken), "{}: item {} has a word that was not spoken: {}", name, number, word)
        if word == f"{last_word}+":
            # A word that came out as two is followed by its second half.
            continue
        place = next((place for place in spoken if place > last), -1)
        require(place >= 0, "{}: item {} says a word twice: {}", name, number, word)
        last, last_word = place, word


class Difference:
    """Where two texts part, for the eye."""

    def __init__(self, is_: str, should_be: str) -> None:
        self._is, self._should_be = is_, should_be

    def __str__(self) -> str:
        at = next((n for n, (a, b) in enumerate(zip(self._is, self._should_be, strict=False)) if a != b), None)
        at = min(len(self._is), len(self._should_be)) if at is None else at
        low = max(0, at - 24)
        return f"at {at}: ...{self._is[low : at + 40]!r} instead of ...{self._should_be[low : at + 40]!r}"

    def __format__(self, _spec: str) -> str:
        return str(self)
