"""What an operator's commands ask for, and how they tell what came of it."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from parley.cli.admin_client import AdminClient, Refused
from parley.cli.failure import Failure
from parley.cli.table import print_json, print_table, span

_LOOK_S = 0.5
_MARGIN_S = 5.0
_NAMES_MAX = 8
_EMPTY = ("drained", "over")
_SHOWN_CHARS = len("sess-") + 12


# ---- sessions


def list_sessions(client: AdminClient, state: str, limit: int, *, as_json: bool) -> None:
    """A line for each."""
    found, total, has_more = client.sessions(state, limit)
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
    print_table(header, rows, frozenset({"AGE", "LAG", "AUDIO"}), spare=("VIA", "TENANT", "AUDIO", "MODEL SERVER"))
    if has_more:
        print(f"the first {len(found)}{'' if state else f' of {total}'}; --limit shows more")


def list_ended(client: AdminClient, *, as_json: bool) -> None:
    """A line for each that has ended lately."""
    answer = client.get("/ended")
    if as_json:
        print_json(answer)
        return
    if not answer["sessions"]:
        print("no session has ended lately")
        return
    header = ("SESSION", "ENDED", "LASTED", "TURNS", "CAME BACK", "TENANT", "SLOWEST", "OUTCOME")
    rows = [
        (
            one["id"][:_SHOWN_CHARS],
            f"{span(one['ago_s'])} ago",
            span(one["age_s"]),
            str(one["turns"]),
            ", ".join(f"{count} {outcome}" for outcome, count in one["resumptions"].items()) or "-",
            one["tenant"] or "-",
            one["slowest"] or "-",
            one["outcome"],
        )
        for one in answer["sessions"]
    ]
    print_table(header, rows, frozenset({"ENDED", "LASTED", "TURNS"}), spare=("TENANT", "SLOWEST", "CAME BACK"))


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
        print(
            f"{session_id} gets a new stream at its next pause on the same model server, if that has room for one: no "
            "other is ready; `parley upstreams` says why"
        )
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
    header = ["NAME", "STATE", "STREAMS", "DELAY P95", "KIND", "VERSION", "ENGINE", "MODELS", "WHY"]
    rows = [
        [
            one["name"],
            one["state"],
            f"{one['streams']}/{one['streams_max'] or '-'}",
            f"{one['delay_p95_s']:.1f} s",
            one["kind"],
            one["version"] or "-",
            load_of(one["engine"]),
            ", ".join(one["models"]) or "-",
            one["reason"],
        ]
        for one in upstreams
    ]
    if with_pool:
        header.insert(0, "POOL")
        for row, one in zip(rows, upstreams, strict=True):
            row.insert(0, one["pool"])
    spare = ("KIND", "ENGINE", "MODELS", "VERSION", "DELAY P95", "POOL")
    print_table(header, rows, frozenset({"STREAMS", "DELAY P95"}), [name for name in spare if name in header])


def load_of(engine: dict[str, Any] | None) -> str:
    """What a model server says of itself, whoever opened its streams."""
    if engine is None:
        return "-"
    return f"{engine['running']} run, {engine['waiting']} wait, KV {engine['kv_cache_usage']:.0%}"


def _change_upstream(client: AdminClient, name: str, action: str, **fields: object) -> Any:
    """Drain one or take that back; a name that is not there is answered with those that are."""
    try:
        return client.post(f"/upstreams/{quote(name, safe='')}/{action}", **fields)
    except Refused as error:
        if error.code != "upstream-not-found":
            raise
    names = list(dict.fromkeys(one["name"] for one in client.get("/upstreams")["upstreams"]))
    if name in names:
        raise Failure(f"not-draining: {name} is not being drained; there is nothing to take back.")
    there = (
        f"here are {', '.join(names[:_NAMES_MAX])}{', ...' if len(names) > _NAMES_MAX else ''}"
        if names
        else "none is here"
    )
    raise Failure(f"upstream-not-found: no model server here has the name {name}; {there}.")


def drain_upstream(client: AdminClient, name: str, timeout_s: float | None, *, waits: bool, as_json: bool) -> None:
    """Drain one, and wait until it is empty if asked to."""

    def streams_of(answer: Any) -> int:
        return sum(one["streams"] for one in answer["upstreams"] if one["name"] == name)

    answer = _change_upstream(client, name, "drain", timeout_s=timeout_s)
    streams = streams_of(answer)
    if waits and streams:
        if not as_json:
            print(f"{name} is being drained: {_count(streams, 'stream')} to leave it", flush=True)
        answer = _until(lambda: client.get("/upstreams"), lambda found: not streams_of(found), timeout_s)
        streams = streams_of(answer)
    if as_json:
        print_json(answer)
    elif not streams:
        print(f"{name} is drained and empty")
    elif not waits:
        print(
            f"{name} is being drained: {_count(streams, 'stream')} to leave it at a pause; "
            "`parley upstreams` shows how many are left"
        )
    if waits and streams:
        raise Failure(
            f"not-empty: {name} has {_count(streams, 'stream')} left, and gets no new ones. `parley "
            f"upstreams` shows whether another has room; `parley upstreams undrain {name}` takes the drain back."
        )


def undrain_upstream(client: AdminClient, name: str, *, as_json: bool) -> None:
    """Use one again."""
    answer = _change_upstream(client, name, "undrain")
    if as_json:
        print_json(answer)
    else:
        print(f"{name} is used again")


# ---- the node


def drain_node(
    client: AdminClient, timeout_s: float | None, settle_s: float | None, *, waits: bool, as_json: bool
) -> None:
    """Drain the node, and wait until it is empty if asked to."""
    is_drained = client.get("/node")["state"] in ("draining", "drained")
    client.post("/drain", timeout_s=timeout_s, settle_s=settle_s)
    # Its answer is of the moment before the drain began.
    view = client.get("/node")["drain"]
    if not as_json and view["state"] not in _EMPTY:
        _tell_drain(view, is_drained=is_drained, waits=waits)
    if waits:
        deadline_s = None if view["deadline_s"] is None else view["deadline_s"] + _MARGIN_S
        node = _until(lambda: client.get("/node"), lambda found: found["state"] != "draining", deadline_s)
        view = node["drain"]
    if as_json:
        print_json(view)
    elif view["state"] in _EMPTY:
        print(
            f"the node is empty: {_count(view['moved'], 'session')} moved, {view['ended']} ended; "
            "SIGTERM ends its process"
        )
    if waits and view["state"] == "serving":
        raise Failure("not-empty: the drain was taken back meanwhile; the node takes sessions again.")
    elif waits and view["state"] not in _EMPTY:
        raise Failure(
            f"not-empty: the node still has {_count(view['live'], 'session')}, which `parley sessions` lists; it takes "
            "no new ones. SIGTERM ends its process and them, `parley drain --undo` takes the drain back."
        )


def _tell_drain(view: dict[str, Any], *, is_drained: bool, waits: bool) -> None:
    already = " already, and its times stay as they are" if is_drained else ""
    within = "" if view["deadline_s"] is None else f" within {view['deadline_s']:.0f} s"
    undo = "" if waits else "; `parley drain --undo` takes it back"
    count = _count(view["live"], "session")
    print(f"the node is being drained{already}: {count} to finish or to move{within}{undo}", flush=True)


def undrain_node(client: AdminClient, *, as_json: bool) -> None:
    """Take the node's drain back."""
    try:
        view = client.delete("/drain")
    except Refused as error:
        if error.code != "not-draining":
            raise
        node = client.get("/node")
        if node["drain"]["is_final"]:
            why = "the node's process was told to stop, which can't be taken back; start it again."
        else:
            why = f"the node is not being drained, so there is nothing to take back; it is {node['state']}."
        raise Failure(f"not-draining: {why}") from None
    if as_json:
        # Its answer, too, is of the moment before.
        node = _until(lambda: client.get("/node"), lambda found: found["drain"]["state"] == "serving", _MARGIN_S)
        print_json(node["drain"])
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
