"""What is known of vLLM's releases: which of them can't be used, and which lose streams.

The faults are those of the releases' own sources and issues; the numbers behind them are of vLLM's tracker.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.\d{1,6})?(?P<rest>.*)", re.DOTALL)
# What follows the numbers of a release: a candidate of it, a rebuild, a build for other hardware (PEP 440).
_OF_THE_RELEASE = re.compile(r"(?:(?:a|b|rc)\d+)?(?:\.?post\d+)?(?:\+[\w.-]*)?", re.ASCII)
_DEVELOPMENT = re.compile(r"dev\d*", re.ASCII)

_FIRST = (0, 16)
"""The first release with the realtime API."""


class Level(IntEnum):
    """What follows from a version."""

    OK = 0
    WARNED = 1
    REFUSED = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a version is used, and why not, or why only with a warning: whole sentences for an operator."""

    level: Level = Level.OK
    reasons: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether no leg may be opened on such a server."""
        return self.level is Level.REFUSED


UNJUDGED = Judgement()
"""Of a server that is not vLLM, or does not say what it is."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """What releases before `mended` do. One that only `allow_old_versions` lets in is `severe`."""

    mended: tuple[int, int]
    text: str
    severe: bool = False


_FAULTS = (
    _Fault((0, 19), "Before 0.19 any model name is taken for the one it serves."),
    _Fault(
        (0, 25),
        "Up to 0.24 a stream without output for 60 s falls silent for good, and says nothing (issue 36015).",
        severe=True,
    ),
    _Fault(
        (0, 32),
        "Up to 0.31 one stream that reaches max_model_len ends the engine for all (issue 39996), and a lost connection "
        "may keep its request (issue 53130): give it a large --max-model-len.",
    ),
)
_KEYS_MENDED = (0, 20)


def judge(version: str, *, has_key: bool = False, allows_old: bool = False) -> Judgement:
    """What follows from the version that a vLLM server tells.

    `has_key`: an API key is sent to it. `allows_old`: releases that are known to hang streams are used all the same.
    A build between releases, or a version that is none of vLLM's, is taken with a note.
    """
    match = _RELEASE.match(version)
    if match is None:
        return Judgement(Level.OK, ("Its version is none of a vLLM release: nothing is known of it.",))
    if _DEVELOPMENT.search(match["rest"]):
        return Judgement(Level.OK, ("It is built from between releases: what is known of releases may not hold.",))
    if not _OF_THE_RELEASE.fullmatch(match["rest"]):
        return Judgement(Level.OK, ("Its version is none of a vLLM release: nothing is known of it.",))
    return _judge_release((int(match[1]), int(match[2])), has_key=has_key, allows_old=allows_old)


def _judge_release(release: tuple[int, int], *, has_key: bool, allows_old: bool) -> Judgement:
    if release < _FIRST:
        return Judgement(Level.REFUSED, ("Before 0.16 there is no realtime API: install 0.32 or newer.",))
    faults = [fault for fault in _FAULTS if release < fault.mended]
    reasons = [fault.text for fault in faults]
    level = Level.WARNED if faults else Level.OK
    if any(fault.severe for fault in faults) and not allows_old:
        level = Level.REFUSED
        reasons.append("Install 0.32 or newer, or set upstream.allow_old_versions.")
    if has_key and release < _KEYS_MENDED:
        level = Level.REFUSED
        # Whatever is allowed: no handshake succeeds.
        reasons.append("Before 0.20 its --api-key refuses every WebSocket: install 0.32 or newer, or use no key.")
    return Judgement(level, tuple(reasons))
