"""How problems with settings speak: what a value is, and what it may have been meant to be."""

import difflib
from collections.abc import Iterable

from parley.server.keys import Key

SHOWN_VALUE_MAX_CHARS = 60


def hint(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with the nearest known name, or nothing when none is near."""
    candidates = list(known)
    same_key = [one for one in candidates if "." in one and one.partition(".")[2] == name.rpartition(".")[2]]
    nearest = same_key or difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def shown(value: object) -> str:
    """A value in a message: printable and short."""
    text = value if isinstance(value, str) else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= SHOWN_VALUE_MAX_CHARS else text[: SHOWN_VALUE_MAX_CHARS - 1] + "…"


def not_what_it_is(key: Key, value: object) -> str:
    """ ", not ..." behind what a value must be.

    Text may hold a secret, as a command line does: of a value that should have been text only the type is told.
    """
    if not key.is_text:
        return f", not {shown(value)}"
    return "" if key.is_list or isinstance(value, str) else f", not a {type(value).__name__}"
