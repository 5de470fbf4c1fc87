"""A small model of a server with the session contract, for tests of the client's state machine: messages in and out.

It answers each piece of audio with a delta and each end of a turn with a done, at once, numbers what it says, and keeps
it until it is acknowledged. It asserts what a client must never do.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any


def message(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


@dataclass
class ModelLink:
    """One connection: what is on its way."""

    resumes: bool
    to_server: deque[bytes] = field(default_factory=deque)
    to_client: deque[bytes] = field(default_factory=deque)
    session: "ModelSession | None" = None


@dataclass
class ModelSession:
    token: str
    is_numbered: bool = False
    inputs: list[dict[str, Any]] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    acked: int = 0
    item: int = 0
    has_audio: bool = False
    is_open: bool = False
    texts: dict[int, str] = field(default_factory=dict)
    link: ModelLink | None = None
    has_ended: bool = False


class ModelServer:
    """Sessions by token. `window_s` is what it offers; None offers nothing."""

    def __init__(self, window_s: float | None = 30.0) -> None:
        self.window_s = window_s
        self.sessions: dict[str, ModelSession] = {}

    def accept(self, *, resumes: bool) -> ModelLink:
        link = ModelLink(resumes)
        offer = {} if self.window_s is None else {"parley": {"resume_window_s": self.window_s}}
        link.to_client.append(message("session.created", id=f"sess-{len(self.sessions) + 1}", created=1, **offer))
        return link

    def receive(self, link: ModelLink) -> None:
        """Take the next message on its way."""
        body = json.loads(link.to_server.popleft())
        if link.session is None:
            self._begin(link, body)
        elif body["type"] == "session.ack":
            assert link.session.acked <= body["seq"] <= len(link.session.events)
            link.session.acked = body["seq"]
        elif link.session.link is link:
            self._input(link.session, body)

    def cut(self, link: ModelLink) -> None:
        link.to_server.clear()
        link.to_client.clear()
        if link.session is not None and link.session.link is link:
            link.session.link = None

    def acknowledge(self, link: ModelLink) -> None:
        """Tell the client what has arrived."""
        if link.session is not None and link.session.link is link:
            counts = {"input_seq": len(link.session.inputs), "cursor_ms": 0}
            link.to_client.append(message("session.ack", **counts))

    def _begin(self, link: ModelLink, body: dict[str, Any]) -> None:
        if body["type"] == "session.resume":
            assert link.resumes
            self._resume(link, self.sessions[body["token"]], body["seq"])
            return
        assert body["type"] == "session.update"
        assert not link.resumes
        session = ModelSession(f"token-{len(self.sessions) + 1}")
        self.sessions[session.token] = session
        session.link, link.session = link, session
        assert body["parley"] == {"resume": True}
        ticket = {"token": session.token, "window_s": self.window_s}
        link.to_client.append(message("session.updated", id="sess", resume=ticket))

    def _resume(self, link: ModelLink, session: ModelSession, seq: int) -> None:
        if session.has_ended:
            link.to_client.append(refusal("expired"))
            return
        assert session.acked <= seq <= len(session.events), "a gap"
        session.acked, session.link, link.session = seq, link, session
        counts = {"input_seq": len(session.inputs), "cursor_ms": 0, "replayed_ms": [], "lost": []}
        link.to_client.append(message("session.resumed", id="sess", outcome="resumed", **counts))
        link.to_client.extend(session.events[seq:])

    def _input(self, session: ModelSession, body: dict[str, Any]) -> None:
        session.inputs.append(body)
        match body["type"]:
            case "input_audio_buffer.commit" if body.get("final"):
                assert session.is_open
                session.is_open = False
                self._say(session, "transcription.done", text=session.texts.pop(session.item), usage=None)
            case "input_audio_buffer.commit":
                assert not session.is_open
                self._open(session)
            case "input_audio_buffer.append":
                assert session.is_open
                session.has_audio = True
                text = f" w{len(session.inputs)}"
                session.texts[session.item] += text
                self._say(session, "transcription.delta", delta=text)
            case "input_audio_buffer.clear":
                if session.has_audio:
                    self._say(session, "input_audio_buffer.cleared")
                    self._open(session)
            case "transcription.cancel":
                item = int(body["item_id"].removeprefix("item_"))
                if session.texts.pop(item, None) is None:
                    session.events.append(b"")
                    session.events[-1] = refusal("invalid-event", retry="same-session", seq=len(session.events))
                    self._deliver(session)
                else:
                    session.is_open = False
                    self._say(session, "transcription.cancelled")
            case "session.end":
                session.has_ended = True
                self._say(session, "session.ended", reason="client-ended", retry="never")

    @staticmethod
    def _open(session: ModelSession) -> None:
        session.item += 1
        session.is_open, session.has_audio = True, False
        session.texts[session.item] = ""

    def _say(self, session: ModelSession, kind: str, **fields: Any) -> None:
        seq = len(session.events) + 1
        session.events.append(message(kind, **fields, item_id=f"item_{session.item}", seq=seq))
        self._deliver(session)

    @staticmethod
    def _deliver(session: ModelSession) -> None:
        if session.link is not None:
            session.link.to_client.append(session.events[-1])


def refusal(code: str, *, retry: str = "new-session", **fields: Any) -> bytes:
    """An `error` of Parley's."""
    return message("error", error="no", code="x", parley={"code": code, "fault": "client", "retry": retry}, **fields)
