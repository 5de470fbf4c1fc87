"""What an operator's commands do with what is kept of sessions."""

import time
from pathlib import Path
from typing import Any

from parley.cli.admin_client import AdminClient
from parley.cli.failure import Failure, Misuse
from parley.cli.table import print_json, print_table

_ID_STEM = "sess-"
_ID_CHARS = len(_ID_STEM) + 32
_PREFIX_MIN_CHARS = 4
_SHOWN_CHARS = len(_ID_STEM) + 12
_NEVER = "when it is purged"


def list_kept(client: AdminClient, *, as_json: bool) -> None:
    """A line for each session of which something is kept."""
    answer = client.get("/retained")
    if as_json:
        print_json(answer)
        return
    if not answer["retained"]:
        print("nothing is kept")
        return
    rows = [
        (
            one["id"][:_SHOWN_CHARS],
            one["retention"],
            one["tenant"] or "-",
            _clock(one["began_s"]),
            _clock(one["expires_s"]) if one["expires_s"] else _NEVER,
            f"{one['bytes'] / 1_024:.1f} KiB",
        )
        for one in answer["retained"]
    ]
    print_table(("SESSION", "KEPT", "TENANT", "BEGAN", "GOES", "SIZE"), rows, frozenset({"SIZE"}), spare=("TENANT",))
    if answer["more"]:
        print(f"the first {len(rows)}; there are others")


def find_kept(client: AdminClient, given: str) -> str:
    """The id of the one session, of those of which something is kept, whose id begins so."""
    stem = given if given.startswith(_ID_STEM) else _ID_STEM + given
    if len(stem) - len(_ID_STEM) < _PREFIX_MIN_CHARS:
        raise Misuse(f"wrong-usage: give {_PREFIX_MIN_CHARS} characters of the session's id at least.")
    if len(stem) == _ID_CHARS:
        # Whoever may read it may perhaps not list it.
        return stem
    found = [str(one["id"]) for one in client.get("/retained")["retained"] if one["id"].startswith(stem)]
    if not found:
        raise Failure(
            f"nothing-retained: nothing is kept here of a session whose id begins with {given}. `parley sessions kept` "
            "lists those of which something is."
        )
    if len(found) > 1:
        raise Misuse(f"wrong-usage: several ids begin with {given}; give more of it: {', '.join(found[:4])}")
    return found[0]


def read_transcript(client: AdminClient, session_id: str, *, as_json: bool) -> None:
    """What was said, a line for each turn, with where in the session's audio it began."""
    view = client.get(f"/sessions/{session_id}/transcript")
    following = view["next"]
    while following:
        page = client.get(f"/sessions/{session_id}/transcript", after=following)
        view["turns"] += page["turns"]
        following = page["next"]
    view["next"] = 0
    if as_json:
        print_json(view)
        return
    for turn in view["turns"]:
        print(f"{_position(turn['begin_ms'])}  {_printable(turn['text'])}")
    if view["cut_off"]:
        print("(there was more than may be kept of one session)")
    elif not view["complete"]:
        print("(not all of it is here: the session goes on, moved to another node, or was cut short)")


def save_audio(client: AdminClient, session_id: str, path: Path) -> None:
    """Write a session's audio into a file that is not there yet."""
    size = client.download(f"/sessions/{session_id}/audio", path)
    print(f"{path}: {size / 1_048_576:.1f} MiB")


def purge(client: AdminClient, session_id: str | None, tenant: str | None, *, as_json: bool) -> None:
    """Shred what is kept of a session, of a tenant, or what is past its time."""
    if session_id is not None:
        answer = client.delete(f"/sessions/{session_id}/retained")
    elif tenant is not None:
        answer = client.delete("/retained", tenant=tenant)
    else:
        answer = client.delete("/retained", expired="true")
    if as_json:
        print_json(answer)
    else:
        print(_shredded(answer))


def _shredded(answer: dict[str, Any]) -> str:
    records = answer["records"]
    return "nothing was kept" if not records else f"{records} record{'' if records == 1 else 's'} shredded"


def _clock(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_s))


def _position(position_ms: int) -> str:
    seconds = position_ms // 1_000
    return f"{seconds // 3_600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _printable(text: str) -> str:
    """On one line, and without what a terminal would take for a command."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
