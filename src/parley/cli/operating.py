"""What an operator's commands ask for, and how they tell what came of it."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from parley.cli.admin_client import AdminClient
from parley.cli.failure import Failure
from parley.cli.table import print_json, print_table, span

_LOOK_S = 0.5
_MARGIN_S = 5.0
_SHOWN_CHARS = len("sess-") + 12


# ---- sessions


def list_sessions(client: AdminClient, state: str, limit: int, *, as_json: bool) -> None:
    """A line for each."""
    found, total = client.sessions(state, limit)
    if as_json:
        print_json({"sessions": found, "total": total})
        return
    if not found:
        print(f"no session is {state}" if state and total else "no sessions")
        return
    header = ("SESSION", "STATE", "AGE", "LAG", "AUDIO", "TENANT", "VIA", "MODEL SERVER")
    rows = [
        (
            one["id"][:_SHOWN_CHARS],
            one["state"],
            span(one["age_s"]),
            f"{one['lag_s']:.1f} s",
            span(one["received_s"]),
            one["tenant"] or "-",
            one["transport"] or "-",
            ", ".join(one["members"]) or "-",
        )
        for one in found
    ]
    print_table(header, rows, frozenset({"AGE", "LAG", "AUDIO"}))
    if len(found) < total:
        print(f"{len(found)} of {_count(total, 'session')}")


def show_session(client: AdminClient, session_id: str, *, as_json: bool) -> None:
    """All that is known of one."""
    one = client.get(f"/sessions/{session_id}")
    if as_json:
        print_json(one)
        return
    times = ", ".join(f"{count} {outcome}" for outcome, count in one["resumptions"].items())
    lines = {
        "session": one["id"],
        "state": one["state"] + (f" ({one['recovering']})" if one["recovering"] else ""),
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(one["began_s"])),
        "age": span(one["age_s"]),
        "tenant": one["tenant"] or "-",
        "attached": f"{one['transport']}, connection {one['generation']}" if one["attached"] else "no",
        "came back": times or "never",
        "model": f"{one['model'] or 'any'} ({one['pool']})",
        "model server": ", ".join(one["members"]) or "-",
        "streams": str(one["legs"]),
        "audio": f"{one['received_s']:.1f} s came, {one['held_s']:.1f} s wait, {one['dropped_s']:.1f} s were lost",
        "lag": f"{one['lag_s']:.1f} s",
        "turns": str(one["turns"]),
        "last event": str(one["seq"] or "-"),
        "memory": f"{one['held_bytes'] / 1024:.1f} KiB",
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")


def end_session(client: AdminClient, session_id: str, *, as_json: bool) -> None:
    """End one."""
    one = client.post(f"/sessions/{session_id}/end")
    if as_json:
        print_json(one)
    else:
        print(f"{session_id} was ended, after {span(one['age_s'])}")


def move_session(client: AdminClient, session_id: str, within_s: float | None, *, as_json: bool) -> None:
    """Move one's streams."""
    answer = client.post(f"/sessions/{session_id}/move", within_s=within_s)
    if as_json:
        print_json(answer)
    elif not answer["legs"]:
        print(f"{session_id} has no stream at the moment: it gets one when it needs it")
    elif not answer["others"]:
        print(f"{session_id} gets a new stream at its next pause, on the same model server: no other one is ready")
    else:
        print(f"{session_id} moves to another model server at its next pause")


# ---- model servers


def list_upstreams(client: AdminClient, *, as_json: bool) -> None:
    """A line for each."""
    answer = client.get("/upstreams")
    if as_json:
        print_json(answer)
    elif answer["upstreams"]:
        _print_upstreams(answer["upstreams"], with_pool=len(answer["pools"]) > 1)
    else:
        print("no model servers")


def _print_upstreams(upstreams: list[dict[str, Any]], *, with_pool: bool) -> None:
    header = ["NAME", "STATE", "STREAMS", "DELAY P95", "VERSION", "MODELS", "WHY"]
    rows = [
        [
            one["name"],
            one["state"],
            f"{one['streams']}/{one['streams_max'] or '-'}",
            f"{one['delay_p95_s']:.1f} s",
            one["version"] or "-",
            ", ".join(one["models"]) or "-",
            one["reason"],
        ]
        for one in upstreams
    ]
    if with_pool:
        header.insert(0, "POOL")
        for row, one in zip(rows, upstreams, strict=True):
            row.insert(0, one["pool"])
    print_table(header, rows, frozenset({"STREAMS", "DELAY P95"}))


def drain_upstream(client: AdminClient, name: str, timeout_s: float | None, *, waits: bool, as_json: bool) -> None:
    """Drain one, and wait until it is empty if asked to."""
    path = f"/upstreams/{quote(name, safe='')}"

    def streams_of(answer: Any) -> int:
        return sum(one["streams"] for one in answer["upstreams"] if one["name"] == name)

    answer = client.post(f"{path}/drain", timeout_s=timeout_s)
    streams = streams_of(answer)
    if waits and streams:
        if not as_json:
            print(f"{name} is drained: {_count(streams, 'stream')} to leave it")
        answer = _until(lambda: client.get("/upstreams"), lambda found: not streams_of(found), timeout_s)
        streams = streams_of(answer)
    if as_json:
        print_json(answer)
    elif streams:
        print(
            f"{name} is drained: {_count(streams, 'stream')} to leave it at a pause; "
            "`parley upstreams` shows how many are left"
        )
    else:
        print(f"{name} is drained and empty")
    if waits and streams:
        raise Failure(
            f"not-empty: {name} still has {_count(streams, 'stream')}; perhaps no other model server has room."
        )


def undrain_upstream(client: AdminClient, name: str, *, as_json: bool) -> None:
    """Use one again."""
    answer = client.post(f"/upstreams/{quote(name, safe='')}/undrain")
    if as_json:
        print_json(answer)
    else:
        print(f"{name} is used again")


# ---- the node


def drain_node(
    client: AdminClient, timeout_s: float | None, settle_s: float | None, *, waits: bool, as_json: bool
) -> None:
    """Drain the node, and wait until it is empty if asked to."""
    view = client.post("/drain", timeout_s=timeout_s, settle_s=settle_s)
    if waits:
        if not as_json:
            print(f"the node is drained: {_count(view['live'], 'session')} to finish or to move")
        deadline_s = None if view["deadline_s"] is None else view["deadline_s"] + _MARGIN_S
        node = _until(lambda: client.get("/node"), lambda found: bool(found["state"] == "drained"), deadline_s)
        view = node["drain"]
    if as_json:
        print_json(view)
    elif waits and view["state"] == "drained":
        print(
            f"the node is empty: {_count(view['moved'], 'session')} moved, {view['ended']} ended; "
            "SIGTERM ends its process"
        )
    else:
        print(
            f"the node is drained: {_count(view['live'], 'session')} to finish or to move; "
            "`parley drain --undo` takes it back"
        )
    if waits and view["state"] != "drained":
        raise Failure(f"not-empty: the node still has {_count(view['live'], 'session')}.")


def undrain_node(client: AdminClient, *, as_json: bool) -> None:
    """Take the node's drain back."""
    view = client.delete("/drain")
    if as_json:
        print_json(view)
    else:
        print(f"the node takes sessions again; {view['live']} live")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _until[T](look: Callable[[], T], is_done: Callable[[T], bool], timeout_s: float | None) -> T:
    """Look until it is done, or for a day or so long at the most."""
    until = time.monotonic() + (86_400.0 if timeout_s is None else timeout_s + _MARGIN_S)
    while not is_done(found := look()) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    return found
