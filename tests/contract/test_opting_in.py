"""The session contract: how a client opts in, and what becomes of its token."""

import base64
import hashlib
from collections import deque
from collections.abc import Iterator
from functools import partial
from types import CellType, FunctionType, MethodType

from parley.server.settings.document import SessionSettings
from tests.contract.marks import requirement
from tests.contract.stage import Stage, text_of
from tests.support.fake_vllm import MODEL
from tests.support.sound import pcm

AUDIO = pcm(2.0)
TEXT = text_of(2.0)
CREDENTIALS = "Bearer zzgeheimnis"


@requirement("opt-in-offered")
async def test_the_first_event_offers_the_contract_and_names_the_window(stage: Stage) -> None:
    await stage.serve(session={"resume_window_s": 12.5})
    created = await (await stage.connect()).expect("session.created")
    assert created["parley"] == {"resume_window_s": 12.5}


@requirement("opt-in-offered")
async def test_the_window_of_the_example_is_the_default(stage: Stage) -> None:
    await stage.serve(session={"resume_window_s": SessionSettings().resume_window_s})
    created = await (await stage.connect()).expect("session.created")
    assert created["parley"] == {"resume_window_s": 30.0}


@requirement("opt-in-asked", "opt-in-token")
async def test_an_opt_in_is_answered_with_the_token_and_the_window(stage: Stage) -> None:
    await stage.serve(session={"resume_window_s": 12.5})
    wire = await stage.connect()
    created = await wire.expect("session.created")
    await wire.send("session.update", model="", parley={"resume": True})
    updated = await wire.expect("session.updated", id=created["id"])
    assert len(base64.urlsafe_b64decode(updated["resume"]["token"].removeprefix("p1.") + "=")) == 32
    assert updated["resume"]["window_s"] == 12.5


@requirement("opt-in-token")
async def test_the_token_is_in_no_other_event(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.turn(AUDIO)
    await client.until("transcription.done")
    client.wire.abort()
    resumed = await stage.bring_back(client, seq=0)
    await client.until("transcription.done")
    await client.send("session.end")
    await client.until_closed()
    assert client.token not in repr([resumed, client.seen, client.acks])


@requirement("opt-in-twice")
async def test_opting_in_again_neither_gives_a_token_nor_counts_anew(stage: Stage) -> None:
    client = await stage.opted_in()
    await client.settled()
    await client.send("session.update", model=MODEL, parley={"resume": True})
    # Fails at a session.updated, and at a number that begins again.
    await client.settled()
    assert (client.input_seq, client.seq) == (3, 2)
    client.wire.abort()
    await stage.bring_back(client)


@requirement("token-takes-over")
async def test_the_token_alone_takes_a_session_over(stage: Stage) -> None:
    client = await stage.opted_in()
    other = await stage.connect()
    await other.expect("session.created")
    await other.send("session.resume", token=client.token, seq=0)
    await other.expect("session.resumed", id=client.session_id)


def reachable(root: object) -> Iterator[object]:
    """All that the server's own objects hold, containers and closures included; what is not Parley's is a leaf."""
    waiting, known = deque([root]), {id(root)}
    while waiting:
        found = waiting.popleft()
        yield found
        for inner in _parts(found):
            if id(inner) not in known:
                known.add(id(inner))
                waiting.append(inner)


def _parts(holder: object) -> Iterator[object]:
    match holder:
        case dict():
            yield from holder.keys()
            yield from holder.values()
        case list() | tuple() | set() | frozenset() | deque():
            yield from holder
        case FunctionType():
            yield from holder.__closure__ or ()
        case MethodType():
            yield holder.__self__
        case CellType():
            yield holder.cell_contents
        case partial():
            yield from (holder.func, *holder.args, *holder.keywords.values())
        case _ if type(holder).__module__.startswith("parley."):
            yield getattr(holder, "__dict__", {})
            for kind in type(holder).__mro__:
                slots = kind.__dict__.get("__slots__", ())
                for slot in (slots,) if isinstance(slots, str) else slots:
                    yield getattr(holder, slot, None)


@requirement("token-is-hashed")
async def test_of_the_token_and_the_credentials_the_server_keeps_hashes_alone(stage: Stage) -> None:
    client = await stage.opted_in(credentials=CREDENTIALS)
    await client.turn(AUDIO)
    await client.until("transcription.done")
    kept = {one for one in reachable(stage.server.host) if isinstance(one, str | bytes)}
    secret = base64.urlsafe_b64decode(client.token.removeprefix("p1.") + "=")
    assert {client.token, client.token.encode(), secret, CREDENTIALS, CREDENTIALS.encode()} & kept == set()
    assert hashlib.sha256(client.token.encode()).digest() in kept, "the search looks where tokens are kept"
    assert hashlib.sha256(CREDENTIALS.encode()).hexdigest() in kept, "the search looks where credentials are kept"


@requirement("stock-clients")
async def test_a_client_that_did_not_opt_in_gets_vllms_protocol_also_when_its_model_server_is_lost(
    stage: Stage,
) -> None:
    client = await stage.plain()
    await client.start()
    await client.say(AUDIO[:48_000])
    await client.until("transcription.delta")
    (await stage.leg()).abort()
    await client.say(AUDIO[48_000:])
    await client.finish()
    done = await client.until("transcription.done")
    assert (client.deltas, done["text"]) == (TEXT, TEXT)
    assert (await stage.leg(1)).turns == [AUDIO]
    shapes = {tuple(event) for event in client.seen}
    assert shapes == {("type", "delta"), ("type", "text", "usage")}
